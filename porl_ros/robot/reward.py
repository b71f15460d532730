"""Named functions of what the robot knows that say when an episode has succeeded."""

from collections.abc import Callable, Mapping

import numpy as np

from porl_ros.robot.config import Inserted, Lifted, Placed, RobotConfig
from porl_ros.robot.observation import Signals

Values = Mapping[str, np.ndarray]


def success_function(config: RobotConfig) -> Callable[[Values, Values], bool]:
    """A function (signals now, signals at the begin of the episode) -> success.

    ConfigError when it refers to a signal that the contract does not have, or to no position.
    """
    rule, signals = config.episode.success, Signals.of(config)
    for name in ("tip", "object", "target", "tool"):
        if name in type(rule).model_fields:
            signals.require(getattr(rule, name), f"episode.success.{name}", 3)
    if isinstance(rule, Inserted):
        return lambda now, begin: _inserted(rule, now)
    if isinstance(rule, Placed):
        return lambda now, begin: _placed(rule, now)
    return lambda now, begin: _lifted(rule, now, begin)


def _inserted(rule: Inserted, now: Values) -> bool:
    x, y, z = now[rule.tip] - now[rule.target]
    return bool(z <= -rule.depth and np.hypot(x, y) <= rule.radius)


def _lifted(rule: Lifted, now: Values, begin: Values) -> bool:
    return bool(now[rule.object][2] - begin[rule.object][2] >= rule.height)


def _placed(rule: Placed, now: Values) -> bool:
    off = np.linalg.norm(now[rule.object] - now[rule.target])
    away = np.linalg.norm(now[rule.tool] - now[rule.object])
    return bool(off <= rule.radius and away >= rule.clearance)
