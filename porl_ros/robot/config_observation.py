"""The `observation` section of a robot config: what is sensed, and what of it a policy sees."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Name, Topic, require_unique

# The controller adds tool.position and target.position to the signals of the sources.
DERIVED = ("tool", "target")


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
