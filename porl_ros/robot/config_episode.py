"""The `episode` section of a robot config: how long it is, and what success means."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from porl_ros.configfile import StrictModel


class Inserted(StrictModel):
    """Success: `tip` is `depth` below `target` and within `radius` of its vertical axis."""

    function: Literal["inserted"]
    tip: str = Field(description="signal of the position that goes in")
    target: str = Field(description="signal of where it goes in")
    depth: PositiveFloat = Field(description="how far below the target the tip is, at least [m]")
    radius: PositiveFloat = Field(description="how far from its axis, at most [m]")


class Lifted(StrictModel):
    """Success: `object` has risen by `height` since the episode began."""

    function: Literal["lifted"]
    object: str = Field(description="signal of its position")
    height: PositiveFloat = Field(description="how far it has risen, at least [m]")


class Placed(StrictModel):
    """Success: `object` is within `radius` of `target` and `tool` has left it by `clearance`."""

    function: Literal["placed"]
    object: str = Field(description="signal of its position")
    target: str = Field(description="signal of where it belongs")
    radius: PositiveFloat = Field(description="how far from the target it is, at most [m]")
    tool: str = Field(description="signal of what let go of it")
    clearance: PositiveFloat = Field(description="how far the tool has left it, at least [m]")


class Episode(StrictModel):
    """When an episode ends. The reward is sparse: 1 on success, which terminates, else 0,
    unless the section `reward` leaves it to somebody else."""

    horizon: PositiveInt = Field(description="after which it is truncated [control steps]")
    success: Annotated[Inserted | Lifted | Placed, Field(discriminator="function")]
