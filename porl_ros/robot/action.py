"""From an action of the policy to joint positions, and back from what was sent to an action.

Actions are float32 in [-1, 1]. A decoder keeps the *target*: where the tool (or the joints) should
be by now. Each action moves the target by at most `scale`, and the target stays within `max_lead`
of what is measured, so that pushing against an obstacle is felt and bounded. The lead limit is a
part of what an action means; only what the safety filter does afterwards counts as a change.
"""

import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics


class ActionDecoder:
    """Integrates actions into a target and solves for the joints that reach it.

    The target of a Cartesian action is the tool's position, of a joint action the arm's joints; a
    gripper adds one element. Not thread-safe.
    """

    def __init__(self, config: RobotConfig, kinematics: ArmKinematics):
        action = config.action
        self.cartesian = action.kind == "cartesian_position_delta"
        self._kinematics = kinematics
        self._arm = len(kinematics.joints)
        self._gripper = action.gripper
        space = 3 if self.cartesian else self._arm
        self._scale = np.array(
            [action.scale] * space + ([action.gripper.scale] if action.gripper else [])
        )
        lead = [action.max_lead] * space + ([np.inf] if action.gripper else [])
        self._lead = np.array(lead)
        box = config.safety.workspace
        limits = [config.safety.joints[joint] for joint in config.kinematics.joints]
        lower = list(box.lower) if self.cartesian else [limit.lower for limit in limits]
        upper = list(box.upper) if self.cartesian else [limit.upper for limit in limits]
        if action.gripper:
            lower, upper = [*lower, action.gripper.lower], [*upper, action.gripper.upper]
        self._lower, self._upper = np.array(lower), np.array(upper)
        self.target = np.zeros(len(self._scale))

    @property
    def size(self) -> int:
        """Elements of an action."""
        return len(self._scale)

    def reset(self, measured: np.ndarray) -> None:
        """Start an episode where the robot is; `measured` joints in the order of a command."""
        self.target = self._locate(measured)

    def decode(self, action: np.ndarray, measured: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Joint positions to send for `action`; the target is only moved by `settle`.

        `measured` are the joints as they are now, `last` as last sent; both in command order.
        """
        here = self._locate(measured)
        target = self.target + self._scale * action
        target = np.clip(target, self._lower, self._upper)
        # The lead last: a robot that stands outside its box is led back, never pulled in at once.
        target = np.clip(target, here - self._lead, here + self._lead)
        if not self.cartesian:
            return target
        arm = self._kinematics.solve(last[: self._arm], target[:3])
        return np.concatenate([arm, target[3:]])

    def settle(self, action: np.ndarray, sent: np.ndarray, changed: bool) -> np.ndarray:
        """Take over what was really sent; returns the executed action, float32 in [-1, 1].

        Where the filter changed nothing that is the action itself. Where it did, it is the action
        that would have moved the target to where the sent command leads.
        """
        target = self._locate(sent)
        executed = (target - self.target) / self._scale if changed else action
        self.target = target
        return np.clip(executed, -1.0, 1.0).astype(np.float32)

    def _locate(self, joints: np.ndarray) -> np.ndarray:
        if not self.cartesian:
            return joints.copy()
        tool = self._kinematics.tool_position(joints[: self._arm])
        return np.concatenate([tool, joints[self._arm :]])
