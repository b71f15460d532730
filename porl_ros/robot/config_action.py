"""The `action` section of a robot config: what an action means, and the topic that carries it."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Topic, require_order


class Command(StrictModel):
    """The topic that carries joint positions to the robot's controller, whatever the action is."""

    topic: Topic = Field(description="of the robot's controller, relative to its namespace")
    type: Literal["std_msgs/msg/Float64MultiArray", "trajectory_msgs/msg/JointTrajectory"] = Field(
        description="of its messages"
    )


class Gripper(StrictModel):
    """One more action element that moves a gripper joint by at most `scale` a step."""

    joint: str = Field(description="its name in the source that measures it")
    lower: FiniteFloat = Field(description="closed or open, whichever is less [joint units]")
    upper: FiniteFloat = Field(description="the other end [joint units]")
    scale: PositiveFloat = Field(
        description="how far an action of 1 moves it in a step [joint units]"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_order(self.lower, self.upper)
        return self


class _ArmAction(StrictModel):
    """What all kinds have: how far the target may run ahead, a gripper perhaps, and a topic."""

    axes: ClassVar[tuple[str, ...]] = ()  # names of the elements; empty: those of the arm's joints

    max_lead: PositiveFloat = Field(
        description="how far the target may run ahead of what is measured [m, or rad of joints]"
    )
    gripper: Gripper | None = None
    command: Command


class CartesianPositionDelta(_ArmAction):
    """An action moves the tool's target in x, y, z; its orientation stays as at home."""

    axes = ("x", "y", "z")

    kind: Literal["cartesian_position_delta"]
    scale: PositiveFloat = Field(
        description="how far an action of 1 moves the target in a step [m]"
    )


class CartesianTwist(_ArmAction):
    """An action is a velocity of the tool's target along and a rotation about x, y and z."""

    axes = ("x", "y", "z", "rx", "ry", "rz")

    kind: Literal["cartesian_twist"]
    scale: PositiveFloat = Field(description="speed at an action of 1 [m/s]")
    turn_scale: PositiveFloat = Field(description="turning speed at an action of 1 [rad/s]")
    max_turn: PositiveFloat = Field(
        description="how far the target's orientation may run ahead [rad]"
    )


class JointPosition(_ArmAction):
    """An action is the target of each joint: -1 is its lower limit in `safety`, 1 its upper."""

    kind: Literal["joint_position"]


class JointPositionDelta(_ArmAction):
    """An action moves the target of each joint."""

    kind: Literal["joint_position_delta"]
    scale: PositiveFloat = Field(
        description="how far an action of 1 moves each target in a step [rad]"
    )


class JointVelocity(_ArmAction):
    """An action is a velocity of each joint's target."""

    kind: Literal["joint_velocity"]
    scale: PositiveFloat = Field(description="speed of each joint at an action of 1 [rad/s]")


Action = Annotated[
    CartesianPositionDelta | CartesianTwist | JointPosition | JointPositionDelta | JointVelocity,
    Field(discriminator="kind"),
]
