"""From an action of the policy to joint positions, and back from what was sent to an action.

Actions are float32 in [-1, 1]. A decoder keeps the *target*: where the tool (or the joints) should
be by now. Each action moves the target (`*_delta`, `*_velocity`, `*_twist`) or says where it is
(`joint_position`), and the target stays within `max_lead` of what is measured, so that pushing
against an obstacle is felt and bounded. The lead limit is a part of what an action means; only what
the safety filter does afterwards counts as a change.
"""

from typing import NamedTuple

import mink
import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics

# Targets that differ by less are the same one, m or rad: far under what inverse kinematics leave.
SAME = 1e-9


class Executed(NamedTuple):
    """What was carried out, in the policy's action space."""

    action: np.ndarray  # (m,) float32, in [-1, 1]
    # How far what was sent lies from what that action would have led to, in actions: 0 when the
    # action explains it, 1 when an element is a whole action off. No other action is closer in any
    # element (turns, which do not add up element by element: hardly any).
    unexplained: float


class Axes(NamedTuple):
    """Elements of a target that each follow one element of the action; arrays (k,).

    Element by element the new target is keep * target + center + scale * action, then within
    [lower, upper], and in the end within `lead` of where the robot is measured to be. (The lead
    last: a robot that stands outside its range is led back, never pulled in at once.)
    """

    keep: np.ndarray  # 1: the action moves the target; 0: it says where the target is
    center: np.ndarray
    scale: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lead: np.ndarray

    def move(self, target: np.ndarray, action: np.ndarray, here: np.ndarray) -> np.ndarray:
        """The target that an action leads to."""
        wanted = self.keep * target + self.center + self.scale * action
        return np.clip(np.clip(wanted, self.lower, self.upper), here - self.lead, here + self.lead)

    def explain(
        self, target: np.ndarray, action: np.ndarray, here: np.ndarray, sent: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """The action in [-1, 1] that leads from `target` closest to `sent`, and what is missing.

        `move` is monotone and saturates, so several actions may lead to the same target: elements
        that do so with the `action` that was asked for keep it.
        """
        inverse = (sent - self.keep * target - self.center) / self.scale
        best = np.clip(inverse, -1.0, 1.0)
        moved = self.move(target, action, here)
        same = np.abs(self.move(target, best, here) - moved) < SAME
        executed = np.where(same, action, best)
        missing = np.abs(sent - self.move(target, executed, here)) / self.scale
        return executed, float(missing.max())


class JointDecoder:
    """Actions on the joints. Also what all decoders share: the target, and `settle`.

    Not thread-safe. `target` is what the axes follow: here the joints of a command.
    """

    def __init__(self, axes: Axes, kinematics: ArmKinematics):
        self._axes, self._kinematics = axes, kinematics
        self._arm = len(kinematics.joints)
        self.target = np.zeros(len(axes.scale))

    @property
    def size(self) -> int:
        """Elements of an action."""
        return len(self._axes.scale)

    @property
    def tool_target(self) -> np.ndarray:
        """Where the tool should be by now (3,), m."""
        return self._kinematics.tool_position(self.target[: self._arm])

    def reset(self, measured: np.ndarray) -> None:
        """Start an episode where the robot is; `measured` joints in the order of a command."""
        self.target = self._locate(measured)

    def decode(self, action: np.ndarray, measured: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Joint positions to ask for; the target is only moved by `settle`.

        `measured` are the joints as they are now, `last` as last sent; both in command order.
        """
        return self._axes.move(self.target, action, self._locate(measured))

    def steer(
        self, shift: np.ndarray, turn: np.ndarray, measured: np.ndarray, last: np.ndarray
    ) -> np.ndarray:
        """Joint positions that move the tool by `shift` (3,) and `turn` (3,), a rotation vector;
        m and rad in the base frame. As far ahead of what is `measured` as an action may lead."""
        arm, lead = last[: self._arm], self._axes.lead
        rotation = mink.SO3.exp(turn) @ self._kinematics.tool_rotation(arm)
        moved = self._kinematics.solve(arm, self._kinematics.tool_position(arm) + shift, rotation)
        return np.clip(np.concatenate([moved, last[self._arm :]]), measured - lead, measured + lead)

    def settle(
        self, action: np.ndarray, sent: np.ndarray, measured: np.ndarray, changed: bool
    ) -> Executed:
        """Take over what was really sent; where that is what was asked for, so was the action."""
        if changed:
            executed = self.explain(action, sent, measured)
        else:
            executed = Executed(action.astype(np.float32), 0.0)
        self._follow(sent)
        return executed

    def explain(self, action: np.ndarray, sent: np.ndarray, measured: np.ndarray) -> Executed:
        """The action that leads closest to `sent` (n,), joint positions; where several do, as
        `action` says."""
        here, there = self._locate(measured), self._locate(sent)
        executed, missing = self._axes.explain(self.target, action, here, there)
        return Executed(executed.astype(np.float32), missing)

    def _follow(self, sent: np.ndarray) -> None:
        self.target = self._locate(sent)

    def _locate(self, joints: np.ndarray) -> np.ndarray:
        """The target that these joints are at."""
        return joints.copy()


class CartesianDecoder(JointDecoder):
    """Actions on the tool's position; inverse kinematics keep its orientation as at home."""

    @property
    def tool_target(self) -> np.ndarray:
        return self.target[:3]

    def decode(self, action: np.ndarray, measured: np.ndarray, last: np.ndarray) -> np.ndarray:
        target = super().decode(action, measured, last)
        arm = self._kinematics.solve(last[: self._arm], target[:3])
        return np.concatenate([arm, target[3:]])

    def steer(
        self, shift: np.ndarray, turn: np.ndarray, measured: np.ndarray, last: np.ndarray
    ) -> np.ndarray:
        """As an action does that may be larger than 1; this kind of action does not turn."""
        return self.decode(self._action_of(shift, turn), measured, last)

    def _action_of(self, shift: np.ndarray, turn: np.ndarray) -> np.ndarray:
        return np.concatenate([shift / self._axes.scale[:3], np.zeros(len(self._axes.scale) - 3)])

    def _locate(self, joints: np.ndarray) -> np.ndarray:
        tool = self._kinematics.tool_position(joints[: self._arm])
        return np.concatenate([tool, joints[self._arm :]])


class TwistDecoder(CartesianDecoder):
    """Actions on the tool's velocity and rotation: elements 3 to 5 turn the target, rad a step."""

    def __init__(self, axes: Axes, kinematics: ArmKinematics, turn: float, max_turn: float):
        super().__init__(axes, kinematics)
        self._turn, self._max_turn = turn, max_turn
        self._rotation = mink.SO3.identity()

    @property
    def size(self) -> int:
        return super().size + 3

    def reset(self, measured: np.ndarray) -> None:
        super().reset(measured)
        self._rotation = self._orientation(measured)

    def decode(self, action: np.ndarray, measured: np.ndarray, last: np.ndarray) -> np.ndarray:
        shift, turn = _split(action)
        target = JointDecoder.decode(self, shift, measured, last)
        rotation = self._turned(turn, self._orientation(measured))
        arm = self._kinematics.solve(last[: self._arm], target[:3], rotation)
        return np.concatenate([arm, target[3:]])

    def _action_of(self, shift: np.ndarray, turn: np.ndarray) -> np.ndarray:
        moves = super()._action_of(shift, turn)
        return np.concatenate([moves[:3], turn / self._turn, moves[3:]])

    def _turned(self, turn: np.ndarray, here: mink.SO3) -> mink.SO3:
        wanted = mink.SO3.exp(self._turn * turn) @ self._rotation
        lead = _difference(wanted, here)
        ahead = float(np.linalg.norm(lead)) / self._max_turn
        return mink.SO3.exp(lead / ahead) @ here if ahead > 1.0 else wanted

    def explain(self, action: np.ndarray, sent: np.ndarray, measured: np.ndarray) -> Executed:
        shift, turn = _split(action)
        executed, missing = super().explain(shift, sent, measured)
        here, there = self._orientation(measured), self._orientation(sent)
        best = np.clip(_difference(there, self._rotation) / self._turn, -1.0, 1.0)
        reached = self._turned(best, here)
        if np.abs(_difference(reached, self._turned(turn, here))).max() < SAME:
            best = turn
        left = np.abs(_difference(there, reached)).max() / self._turn
        whole = np.concatenate([executed[:3], best, executed[3:]]).astype(np.float32)
        return Executed(whole, max(missing, float(left)))

    def _follow(self, sent: np.ndarray) -> None:
        super()._follow(sent)
        self._rotation = self._orientation(sent)

    def _orientation(self, joints: np.ndarray) -> mink.SO3:
        return self._kinematics.tool_rotation(joints[: self._arm])


def _split(action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([action[:3], action[6:]]), action[3:6].astype(np.float64)  # for mink


def _difference(rotation: mink.SO3, reference: mink.SO3) -> np.ndarray:
    """The rotation vector (3,) from one to the other, rad."""
    return (rotation @ reference.inverse()).log()


def make_decoder(config: RobotConfig, kinematics: ArmKinematics) -> JointDecoder:
    """The decoder of a contract's kind of action."""
    action, period = config.action, 1.0 / config.control_rate
    axes = _axes(config)
    if action.kind == "cartesian_twist":
        return TwistDecoder(axes, kinematics, action.turn_scale * period, action.max_turn)
    return (CartesianDecoder if action.axes else JointDecoder)(axes, kinematics)


def _axes(config: RobotConfig) -> Axes:
    """One row an axis: keep, center, scale, lower, upper, lead."""
    action, safety = config.action, config.safety
    if action.axes:
        ranges = list(zip(safety.workspace.lower, safety.workspace.upper, strict=True))
    else:
        limits = [safety.joints[joint] for joint in config.kinematics.joints]
        ranges = [(limit.lower, limit.upper) for limit in limits]
    if action.kind == "joint_position":
        rows = [
            (0.0, (low + high) / 2, (high - low) / 2, low, high, action.max_lead)
            for low, high in ranges
        ]
    else:
        per_second = action.kind in ("joint_velocity", "cartesian_twist")
        scale = action.scale / config.control_rate if per_second else action.scale
        rows = [(1.0, 0.0, scale, low, high, action.max_lead) for low, high in ranges]
    if gripper := action.gripper:
        rows.append((1.0, 0.0, gripper.scale, gripper.lower, gripper.upper, np.inf))
    return Axes(*np.array(rows).T)
