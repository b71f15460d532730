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

    def stops_well_inside(self, step: np.ndarray, position: np.ndarray) -> bool:
        """Whether no side is near enough to matter when the arm's joints make `step` and brake.

        Quick, and never wrongly true: no joint moves the tool by more than its reach.
        """
        rest = np.abs(way(step, self._acceleration))
        return self.outside(position + step) <= -float(self._kinematics.reach @ rest)

    def stops_inside(self, step: np.ndarray, position: np.ndarray, allowed: float) -> bool:
        """Whether the tool gets no more than `allowed` out of the box on the way to standing."""
        there, a = position + step, self._acceleration
        if self.outside(there) > allowed:
            return False
        points = _spread(int((np.abs(step) / a).max()))
        return all(self.outside(there + way(step, a, k)) <= allowed for k in points)

    def allowed(self, position: np.ndarray) -> float:
        """How far out of the box the tool may be from here on, m: where it is out, no further."""
        return max(self.outside(position), TOLERANCE)

    def outside(self, joints: np.ndarray) -> float:
        """How far the tool is out of the box, m; negative: how far it is from the nearest side."""
        tool = self._kinematics.tool_position(joints)
        return float(np.maximum(self._lower - tool, tool - self._upper).max())


def _spread(steps: int) -> list[int]:
    """At most PATH_POINTS of the numbers 1 to `steps`, the last first."""
    count = min(steps, PATH_POINTS)
    return [round(steps * i / count) for i in range(count, 0, -1)]
