"""The `safety` section of a robot config: the limits of everything that is sent to the robot."""

from collections.abc import Iterator
from typing import Self

from pydantic import FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Vector3, require_order


class Box3(StrictModel):
    """An axis-aligned box in the frame of the robot's base, metres."""

    lower: Vector3
    upper: Vector3

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis, low, high in zip("xyz", self.lower, self.upper, strict=True):
            if low >= high:
                raise ValueError(f"{axis}: lower ({low}) must be under upper ({high})")
        return self


class JointLimit(StrictModel):
    """What a command may ask of one joint; rad, rad/s, ... (m, m/s, ... for a sliding joint).

    `acceleration` and `deviation` (from the measured position) must be stated: a number, or `null`
    for no such limit, which only a simulation may have. `jerk` may be left out.
    """

    lower: FiniteFloat
    upper: FiniteFloat
    velocity: PositiveFloat
    acceleration: PositiveFloat | None
    deviation: PositiveFloat | None
    jerk: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_order(self.lower, self.upper)
        return self


class Safety(StrictModel):
    """Limits of every command, per commanded joint, and the box the tool must stay in."""

    joints: dict[str, JointLimit]
    workspace: Box3

    def absent(self) -> Iterator[str]:
        """The limits that a physical robot must have and that are null here, as they are called."""
        for joint, limit in self.joints.items():
            for name in ("acceleration", "deviation"):
                if getattr(limit, name) is None:
                    yield f"safety.joints.{joint}.{name}"
