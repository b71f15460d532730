"""The contract between a robot and its policies, read from one YAML file.

`robot_configs/ur5e_insert.yaml` is commented so that it is the manual of these models.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt, model_validator

from porl_ros.configfile import StrictModel, load_model
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.contract import contract_hash

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z~/][A-Za-z0-9_/{}~]*$")]
Vector3 = tuple[FiniteFloat, FiniteFloat, FiniteFloat]

# The controller adds tool.position and target.position to the signals of the sources.
DERIVED = ("tool", "target")


def require_unique(names: list[str] | tuple[str, ...], what: str) -> None:
    """ValueError that names the duplicates."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"{what} must be unique; {', '.join(twice)} stands more than once, rename or remove one"
        )


class Kinematics(StrictModel):
    """The arm as a MuJoCo model: forward and inverse kinematics of the tool point."""

    model: str
    joints: tuple[str, ...] = Field(min_length=1)
    home: tuple[FiniteFloat, ...]
    tool_site: str
    tool_offset: Vector3 = (0.0, 0.0, 0.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique(self.joints, "joints")
        if len(self.home) != len(self.joints):
            raise ValueError(
                f"home needs {len(self.joints)} values, one a joint; has {len(self.home)}"
            )
        return self


class JointStateSource(StrictModel):
    """`sensor_msgs/msg/JointState`, read by joint name, never by position in the message."""

    type: Literal["sensor_msgs/msg/JointState"]
    name: Name
    topic: Topic
    joints: tuple[str, ...] = Field(min_length=1)
    max_age: PositiveFloat

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique(self.joints, "joints")
        return self

    @property
    def signals(self) -> dict[str, tuple[str, ...]]:
        """The fields this source offers, each with the names of its elements."""
        return {"position": self.joints, "velocity": self.joints}


class PoseSource(StrictModel):
    """`geometry_msgs/msg/PoseStamped` in the frame of the robot's base; metres, quaternion xyzw."""

    type: Literal["geometry_msgs/msg/PoseStamped"]
    name: Name
    topic: Topic
    max_age: PositiveFloat

    @property
    def signals(self) -> dict[str, tuple[str, ...]]:
        return {"position": ("x", "y", "z"), "orientation": ("x", "y", "z", "w")}


Source = Annotated[JointStateSource | PoseSource, Field(discriminator="type")]


class Feature(StrictModel):
    """One named block of the observation vector: scale * transform(signal - minus)."""

    name: Name
    signal: str
    minus: str | None = None
    change: bool = False
    elements: tuple[str, ...] | None = Field(None, min_length=1)
    transform: Literal["identity", "signed_sqrt"] = "identity"
    scale: FiniteFloat = 1.0
    unit: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.change and self.minus:
            raise ValueError("a feature is either a 'change' or a difference ('minus'), not both")
        require_unique(self.elements or (), "elements")
        if self.scale == 0.0:
            raise ValueError("scale 0 would erase the feature; give a number other than 0")
        return self


class Observation(StrictModel):
    """Where observations come from (`sources`) and what the policy sees of them (`features`)."""

    sources: tuple[Source, ...] = Field(min_length=1)
    features: tuple[Feature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique([source.name for source in self.sources], "names of sources")
        for source in self.sources:
            if source.name in DERIVED:
                raise ValueError(
                    f"the source name '{source.name}' is taken by a derived signal; rename it"
                )
        require_unique([source.topic for source in self.sources], "topics of sources")
        require_unique([feature.name for feature in self.features], "names of features")
        return self


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
        if self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower}) must be under upper ({self.upper})")
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
    """What a command may ask of one joint; rad and rad/s (m and m/s for a sliding joint)."""

    lower: FiniteFloat
    upper: FiniteFloat
    velocity: PositiveFloat

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.lower >= self.upper:
            raise ValueError(f"lower ({self.lower}) must be under upper ({self.upper})")
        return self


class Safety(StrictModel):
    """Limits of every command, per commanded joint, and the box the tool must stay in."""

    joints: dict[str, JointLimit]
    workspace: Box3


class Inserted(StrictModel):
    """Success: `tip` is `depth` below `target` and within `radius` of its vertical axis."""

    function: Literal["inserted"]
    tip: str
    target: str
    depth: PositiveFloat
    radius: PositiveFloat


class Lifted(StrictModel):
    """Success: `object` has risen by `height` since the episode began."""

    function: Literal["lifted"]
    object: str
    height: PositiveFloat


class Episode(StrictModel):
    """When an episode ends. The reward is sparse: 1 on success, which terminates, else 0."""

    horizon: PositiveInt
    success: Annotated[Inserted | Lifted, Field(discriminator="function")]


class Simulation(StrictModel):
    """The MuJoCo scene that stands in for this robot, and which of its variants by default."""

    scene: str
    variant: Name


class RobotConfig(StrictModel):
    """Everything that must be equal for a policy, a store and a robot to fit together."""

    name: Name
    control_rate: PositiveFloat
    kinematics: Kinematics
    observation: Observation
    action: Action
    safety: Safety
    episode: Episode
    simulation: Simulation

    @classmethod
    def load(cls, name: str | Path) -> "RobotConfig":
        """Read a file, or a shipped configuration by name; ConfigError says what is wrong."""
        return load_model(cls, resolve_robot_config(name))

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique(
            self.command_joints, "commanded joints (kinematics.joints, action.gripper.joint)"
        )
        limited, commanded = set(self.safety.joints), set(self.command_joints)
        for joint in sorted(commanded - limited):
            raise ValueError(f"safety.joints: no limits for commanded joint '{joint}'; add them")
        for joint in sorted(limited - commanded):
            raise ValueError(
                f"safety.joints.{joint}: not a commanded joint; "
                f"have {', '.join(self.command_joints)}"
            )
        self._check_sources()
        return self

    def _check_sources(self) -> None:
        sources = [s for s in self.observation.sources if isinstance(s, JointStateSource)]
        measured = {joint for source in sources for joint in source.joints}
        for joint in self.command_joints:
            if joint not in measured:
                raise ValueError(
                    f"observation.sources: commanded joint '{joint}' is not measured; "
                    "add it to the joints of a JointState source"
                )

    @property
    def period_ns(self) -> int:
        """Length of a control step in nanoseconds."""
        return round(1e9 / self.control_rate)

    @property
    def command_joints(self) -> tuple[str, ...]:
        """The joints of a command, in the order in which they are sent."""
        gripper = self.action.gripper
        return self.kinematics.joints + ((gripper.joint,) if gripper else ())

    @property
    def contract(self) -> dict:
        """The part that must be equal; the scene is not: a policy may move to another cell."""
        return self.model_dump(mode="json", exclude={"name", "simulation"})

    @cached_property
    def contract_hash(self) -> str:
        """SHA-256 of the contract as canonical JSON."""
        return contract_hash(self.contract)
