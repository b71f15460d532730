"""The `action` section of a robot config: what an action means, and the topic that carries it."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Topic, require_order


class Command(StrictModel):
    """The topic that carries joint commands to the robot's controller."""

    topic: Topic
    type: Literal["std_msgs/msg/Float64MultiArray", "trajectory_msgs/msg/JointTrajectory"]


class Gripper(StrictModel):
    """One more action element that moves a gripper joint by at most `scale` a step."""

    joint: str
    lower: FiniteFloat
    upper: FiniteFloat
    scale: PositiveFloat

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_order(self.lower, self.upper)
        return self


class CartesianPositionDelta(StrictModel):
    """An action moves the tool's target in x, y, z; its orientation stays as at home."""

    kind: Literal["cartesian_position_delta"]
    scale: PositiveFloat
    max_lead: PositiveFloat
    gripper: Gripper | None = None
    command: Command


class JointPositionDelta(StrictModel):
    """An action moves the target of each joint."""

    kind: Literal["joint_position_delta"]
    scale: PositiveFloat
    max_lead: PositiveFloat
    gripper: Gripper | None = None
    command: Command


Action = Annotated[CartesianPositionDelta | JointPositionDelta, Field(discriminator="kind")]
