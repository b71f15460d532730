"""The box that the tool must not leave, and whether it can still stop inside."""

import numpy as np

from porl_ros.robot.braking import way
from porl_ros.robot.config_safety import Box3
from porl_ros.robot.kinematics import ArmKinematics

# Inverse kinematics and float rounding may leave the box by this much without a fault, m.
TOLERANCE = 1e-4
# At how many points of a braking path the tool is looked at, when it is near a side. Between two
# points it strays from their line by a fraction of the tolerance: at 500 Hz, 1.5 rad/s and
# 12 rad/s^2 they are 3 mrad a joint apart.
PATH_POINTS = 8


class Workspace:
    """The box of one arm. Not thread-safe, because the kinematics are not."""

    def __init__(self, box: Box3, kinematics: ArmKinematics, acceleration: np.ndarray):
        """`acceleration`: the limit of the arm's joints (n,), rad per step squared."""
        self._lower, self._upper = np.array(box.lower), np.array(box.upper)
        self._kinematics, self._acceleration = kinematics, acceleration

    def stops_inside(self, step: np.ndarray, position: np.ndarray) -> bool:
        """Whether the tool is in the box after a `step` of the arm's joints and until they stand.

        Where it was outside already: whether it gets no further out on the way.
        """
        there = position + step
        outside, rest = self.outside(there), way(step, self._acceleration)
        # No joint moves the tool by more than its reach: far from the sides that is all to see.
        if outside <= -float(self._kinematics.reach @ np.abs(rest)):
            return True
        allowed = max(self.outside(position), TOLERANCE)
        if outside > allowed:
            return False
        steps = int((np.abs(step) / self._acceleration).max())
        return all(
            self.outside(there + way(step, self._acceleration, k)) <= allowed
            for k in _spread(steps)
        )

    def outside(self, joints: np.ndarray) -> float:
        """How far the tool is out of the box, m; negative: how far it is from the nearest side."""
        tool = self._kinematics.tool_position(joints)
        return float(np.maximum(self._lower - tool, tool - self._upper).max())


def _spread(steps: int) -> list[int]:
    """At most PATH_POINTS of the numbers 1 to `steps`, the last first."""
    count = min(steps, PATH_POINTS)
    return [round(steps * i / count) for i in range(count, 0, -1)]
