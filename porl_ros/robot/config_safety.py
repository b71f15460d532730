"""The `safety` section of a robot config: the limits of everything that is sent to the robot."""

from collections.abc import Iterator
from typing import Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Vector3, require_order


class Box3(StrictModel):
    """An axis-aligned box in the frame of the robot's base, metres."""

    lower: Vector3 = Field(description="its corner nearest to minus infinity [m]")
    upper: Vector3 = Field(description="the opposite one [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis, low, high in zip("xyz", self.lower, self.upper, strict=True):
            if low >= high:
                raise ValueError(f"{axis}: lower ({low}) must be under upper ({high})")
        return self


class JointLimit(StrictModel):
    """What a command may ask of one joint; m, m/s, ... for one that slides."""

    lower: FiniteFloat = Field(description="least position [rad]")
    upper: FiniteFloat = Field(description="greatest position [rad]")
    velocity: PositiveFloat = Field(description="greatest speed [rad/s]")
    acceleration: PositiveFloat | None = Field(
        description="greatest; null: none, which only a simulation may have [rad/s²]"
    )
    deviation: PositiveFloat | None = Field(
        description="of a command from the measured position; null: any, which only a "
        "simulation may have [rad]"
    )
    jerk: PositiveFloat | None = Field(None, description="greatest; null: none [rad/s³]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_order(self.lower, self.upper)
        return self


class Safety(StrictModel):
    """Limits of every command, per commanded joint, and the box the tool must stay in."""

    joints: dict[str, JointLimit] = Field(description="limits of each commanded joint")
    workspace: Box3

    def absent(self) -> Iterator[str]:
        """The limits that a physical robot must have and that are null here, as they are called."""
        for joint, limit in self.joints.items():
            for name in ("acceleration", "deviation"):
                if getattr(limit, name) is None:
                    yield f"safety.joints.{joint}.{name}"
