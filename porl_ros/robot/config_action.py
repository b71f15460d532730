"""The `action` section of a robot config: what an action means, and the topic that carries it."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Topic, require_order


class Command(StrictModel):
    """The topic that carries joint positions to the robot's controller, whatever the action is."""

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


class _ArmAction(StrictModel):
    """What all kinds have: how far the target may run ahead, a gripper perhaps, and a topic.

    `max_lead` is in metres for an action on the tool, in radians for one on the joints.
    """

    axes: ClassVar[tuple[str, ...]] = ()  # names of the elements; empty: those of the arm's joints

    max_lead: PositiveFloat
    gripper: Gripper | None = None
    command: Command


class CartesianPositionDelta(_ArmAction):
    """An action moves the tool's target in x, y, z; its orientation stays as at home.

    `scale`: m a step.
    """

    axes = ("x", "y", "z")

    kind: Literal["cartesian_position_delta"]
    scale: PositiveFloat


class CartesianTwist(_ArmAction):
    """An action is a velocity of the tool's target along and a rotation about x, y and z.

    `scale`: m/s; `turn_scale`: rad/s; the orientation runs ahead by at most `max_turn`, rad.
    """

    axes = ("x", "y", "z", "rx", "ry", "rz")

    kind: Literal["cartesian_twist"]
    scale: PositiveFloat
    turn_scale: PositiveFloat
    max_turn: PositiveFloat


class JointPosition(_ArmAction):
    """An action is the target of each joint: -1 is its lower limit in `safety`, 1 its upper."""

    kind: Literal["joint_position"]


class JointPositionDelta(_ArmAction):
    """An action moves the target of each joint. `scale`: rad a step."""

    kind: Literal["joint_position_delta"]
    scale: PositiveFloat


class JointVelocity(_ArmAction):
    """An action is a velocity of each joint's target. `scale`: rad/s."""

    kind: Literal["joint_velocity"]
    scale: PositiveFloat


Action = Annotated[
    CartesianPositionDelta | CartesianTwist | JointPosition | JointPositionDelta | JointVelocity,
    Field(discriminator="kind"),
]
