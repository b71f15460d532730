"""The `reset` section of a robot config: how robot and cell come to the begin of an episode.

No part of the contract: a policy does not see it.
"""

from typing import Literal

from pydantic import Field, FiniteFloat, PositiveFloat

from porl_ros.configfile import StrictModel


class Reset(StrictModel):
    """First the waypoints, one after the other, then what `then` says.

    `waypoints`: positions of the commanded joints, gone to at `speed`, a share of the velocity
    limits, through the safety filter. A waypoint is reached when each joint is measured within
    `tolerance` of it [rad]; a script that takes longer than `patience` [s] waits for the operator.
    `then`: the service `reset` of a simulation, the operator's `reset_done`, or nothing more.
    """

    waypoints: tuple[tuple[FiniteFloat, ...], ...] = ()
    speed: float = Field(0.25, gt=0.0, le=1.0)
    tolerance: PositiveFloat = 0.02
    patience: PositiveFloat = 30.0
    then: Literal["simulation", "operator", "begin"] = "simulation"
