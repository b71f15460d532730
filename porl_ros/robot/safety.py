"""The last thing before the wire: whatever the policy wants, what goes out is within the limits."""

from typing import NamedTuple

import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics

# Inverse kinematics and float rounding may leave the workspace by this much without a fault, m.
WORKSPACE_TOLERANCE = 1e-4


class Filtered(NamedTuple):
    """What is sent, and the names of the limits that changed it (empty: nothing did)."""

    command: np.ndarray
    interventions: tuple[str, ...]


class SafetyFilter:
    """Finite values, joint positions, joint velocities, and a box for the tool.

    Pure: the result depends on the arguments alone. A command that cannot be mended is replaced by
    the last one that was sent, which holds the robot where it is.
    """

    def __init__(self, config: RobotConfig, kinematics: ArmKinematics):
        limits = [config.safety.joints[joint] for joint in config.command_joints]
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        self._step = np.array([limit.velocity for limit in limits]) / config.control_rate
        box = config.safety.workspace
        self._box = np.array(box.lower), np.array(box.upper)
        self._arm = len(kinematics.joints)
        self._kinematics = kinematics

    def filter(self, command: np.ndarray, last: np.ndarray) -> Filtered:
        """Limit `command`, joint positions of shape (n,), given the `last` one that was sent."""
        if command.shape != last.shape or not np.isfinite(command).all():
            return Filtered(last.copy(), ("not_finite",))
        interventions = []
        safe = np.clip(command, self._lower, self._upper)
        if (safe != command).any():
            interventions.append("position")
        # One factor for all joints keeps the direction of the motion.
        excess = float(np.max(np.abs(safe - last) / self._step, initial=0.0))
        if excess > 1.0:
            safe = last + (safe - last) / excess
            interventions.append("velocity")
        if self._outside(safe) > max(self._outside(last), WORKSPACE_TOLERANCE):
            return Filtered(last.copy(), (*interventions, "workspace"))
        return Filtered(safe, tuple(interventions))

    def _outside(self, joints: np.ndarray) -> float:
        """How far the tool is outside of the box, m; 0 inside. On the way back in is allowed."""
        tool = self._kinematics.tool_position(joints[: self._arm])
        lower, upper = self._box
        return float(np.max(np.maximum(lower - tool, tool - upper), initial=0.0))
