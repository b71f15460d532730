"""The `episode` section of a robot config: how long it is, and what success means."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from porl_ros.configfile import StrictModel


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


class Placed(StrictModel):
    """Success: `object` is within `radius` of `target` and `tool` has left it by `clearance`."""

    function: Literal["placed"]
    object: str
    target: str
    radius: PositiveFloat
    tool: str
    clearance: PositiveFloat


class Episode(StrictModel):
    """When an episode ends. The reward is sparse: 1 on success, which terminates, else 0,
    unless the section `reward` leaves it to somebody else."""

    horizon: PositiveInt
    success: Annotated[Inserted | Lifted | Placed, Field(discriminator="function")]
