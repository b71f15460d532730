"""The `reset` section of a robot config: how robot and cell come to the begin of an episode.

No part of the contract: a policy does not see it.
"""

from typing import Literal

from pydantic import Field, FiniteFloat, PositiveFloat

from porl_ros.configfile import StrictModel


class Reset(StrictModel):
    """First the waypoints, one after the other, then what `then` says."""

    waypoints: tuple[tuple[FiniteFloat, ...], ...] = Field(
        (),
        description="positions of the commanded joints, gone to one after the other through "
        "the safety filter [rad]",
    )
    speed: float = Field(
        0.25, gt=0.0, le=1.0, description="of going there, as a share of the velocity limits"
    )
    tolerance: PositiveFloat = Field(
        0.02,
        description="a waypoint is reached when each joint is measured within this of it [rad]",
    )
    patience: PositiveFloat = Field(
        30.0, description="a script that takes longer waits for the operator [s]"
    )
    then: Literal["simulation", "operator", "begin"] = Field(
        "simulation",
        description="the service `reset` of a simulation, the operator's `reset_done`, or "
        "nothing more",
    )
