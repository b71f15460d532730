"""The tasks of the UR5e: the product's own cells and experts.

The simulator is imported when a task is made: Meta-World's environment does not have all of it.
"""

from collections.abc import Callable

import gymnasium
import numpy as np


def make_env(robot: str, cell: str) -> gymnasium.Env:
    """A shipped robot config in one variant of its scene."""
    from porl_ros.simulation.env import RobotEnv

    return RobotEnv(robot, cell)


def make_expert(env: gymnasium.Env) -> Callable[[], np.ndarray]:
    """The scripted expert of the robot's task."""
    from porl_ros.simulation import experts

    return experts.make_expert(env.unwrapped)
