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
    name: Name = Field(description="its signals are `NAME.position` and `NAME.velocity`")
    topic: Topic = Field(description="relative to the robot's namespace")
    joints: tuple[str, ...] = Field(
        min_length=1, description="whose readings it has, in this order"
    )
    max_age: PositiveFloat = Field(description="an older sample is not acted upon [s]")

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
    name: Name = Field(description="its signals are `NAME.position` and `NAME.orientation`")
    topic: Topic = Field(description="relative to the robot's namespace")
    max_age: PositiveFloat = Field(description="an older sample is not acted upon [s]")

    @property
    def signals(self) -> dict[str, tuple[str, ...]]:
        return {"position": ("x", "y", "z"), "orientation": ("x", "y", "z", "w")}


Source = Annotated[JointStateSource | PoseSource, Field(discriminator="type")]


class Feature(StrictModel):
    """One named block of the observation vector: scale * transform(signal - minus)."""

    name: Name = Field(description="a label, unique")
    signal: str = Field(
        description="one of a source, or `tool.position`, `target.position`, `last_action`"
    )
    minus: str | None = Field(None, description="signal that is subtracted")
    change: bool = Field(False, description="the signal's change since the last step instead")
    elements: tuple[str, ...] | None = Field(
        None, min_length=1, description="names of those that are taken; null: all"
    )
    transform: Literal["identity", "signed_sqrt"] = Field(
        "identity", description="of the difference; the root stretches what is near 0"
    )
    scale: FiniteFloat = Field(1.0, description="factor, for values around 1; not 0")
    unit: str = Field("", description="of the signal, for people")

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
