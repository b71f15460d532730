"""Scripted experts. They see what only the simulator knows, and exist to record demonstrations."""

import numpy as np

from porl_ros.simulation.env import RobotEnv

ALIGNED = 0.0015  # close enough to the axis to go down, m
ABOVE = 0.012  # height at which to align, m
DEEP = 0.04  # how far to push in, m


class InsertExpert:
    """Over the socket, align, then straight down."""

    def __init__(self, env: RobotEnv):
        self._env = env

    def __call__(self) -> np.ndarray:
        """The action (3,) float32 for the environment's present state."""
        env = self._env
        goal = env.robot.task.goal
        tool = env.controller.tool_position
        off_axis = np.hypot(*(tool - goal)[:2])
        inside = tool[2] < goal[2]
        height = -DEEP if inside or off_axis < ALIGNED else ABOVE
        wanted = np.array([goal[0], goal[1], goal[2] + height])
        action = (wanted - tool) / env.robot.config.action.scale
        return np.clip(action, -1.0, 1.0).astype(np.float32)


EXPERTS = {"insert": InsertExpert}


def make_expert(env: RobotEnv) -> InsertExpert:
    """The expert for the environment's task."""
    return EXPERTS[env.robot.scene.task.kind](env)
