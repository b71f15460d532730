"""The last thing before the wire: whatever is asked for, what goes out is within the limits.

The filter keeps one promise and everything else follows from it: *after every command the robot can
still stop*, each joint braking at its acceleration limit, within its position limits and with the
tool in the workspace. A command that would break it is not sent. So braking is always open, and it
is what the filter does whenever it cannot do what was asked (`ramp_down`).

When limits contradict each other, the earlier one in this list holds:

1. finite values and acceleration, always;
2. velocity, position and workspace: always, too, from any state that is within them. Outside (a
   robot that begins there) a command never leads further out, and joints are led back in;
3. deviation from the measured position: holds while the measured robot does not run away from the
   command by itself; if it does, the command stops and turns back as fast as 1 and 2 allow;
4. jerk: yields to all of these, and to stopping. What is asked for is shaped by it, braking is not.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics

# Inverse kinematics and float rounding may leave the workspace by this much without a fault, m.
WORKSPACE_TOLERANCE = 1e-4
# A command that exceeds a limit by less was meant to be on it, rad (or m).
ROUNDING = 1e-12
# Points of a braking path at which the tool is looked at, when it is near a side of the workspace.
PATH_POINTS = 16
# How often the way between braking and the command is halved to find what the workspace allows.
HALVINGS = 4


class Limit(StrEnum):
    """Why a command was changed."""

    INVALID = "invalid"  # not numbers, not finite, not one a joint; or the measured joints are not
    POSITION = "position"
    DEVIATION = "deviation"
    VELOCITY = "velocity"
    JERK = "jerk"
    ACCELERATION = "acceleration"
    WORKSPACE = "workspace"


class Motion(NamedTuple):
    """What was sent so far, as much of it as the limits need; arrays (n,) in command order."""

    position: np.ndarray  # the last command, rad
    step: np.ndarray  # by how much it differs from the one before, rad
    change: np.ndarray  # by how much that differs from the step before it, rad

    @classmethod
    def standing(cls, position: np.ndarray) -> "Motion":
        """At rest at `position`."""
        zero = np.zeros(len(position))
        return cls(position.copy(), zero, zero)

    def moved(self, step: np.ndarray) -> "Motion":
        """After one more step."""
        return Motion(self.position + step, step, step - self.step)


class Filtered(NamedTuple):
    """What was asked for, what is sent, and the limits between the two (empty: none)."""

    asked: np.ndarray
    motion: Motion  # with what is sent as its last command
    interventions: tuple[Limit, ...]

    @property
    def command(self) -> np.ndarray:
        """Joint positions (n,) to send."""
        return self.motion.position


class SafetyFilter:
    """The limits of one robot, see the module. Pure: results depend on the arguments alone.

    Not thread-safe, because the kinematics are not. Units: all limits are kept per control step.
    """

    def __init__(self, config: RobotConfig, kinematics: ArmKinematics):
        limits = [config.safety.joints[joint] for joint in config.command_joints]
        period = 1.0 / config.control_rate
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        self._velocity = np.array([limit.velocity for limit in limits]) * period
        # No limit: from full speed one way to full speed the other way is all there can be.
        free = 2.0 * self._velocity
        given = np.array([limit.acceleration or np.inf for limit in limits])
        self._acceleration = np.minimum(given * period**2, free)
        self._deviation = np.array([limit.deviation or np.inf for limit in limits])
        jerk = np.array([limit.jerk or np.inf for limit in limits]) * period**3
        self._jerk = jerk if np.isfinite(jerk).any() else None
        box = config.safety.workspace
        self._box = np.array(box.lower), np.array(box.upper)
        self._arm = len(kinematics.joints)
        self._kinematics = kinematics

    def filter(self, asked: np.ndarray, motion: Motion, measured: np.ndarray) -> Filtered:
        """Limit `asked`, joint positions (n,), after what was sent so far.

        `measured`: where the joints are now (n,). Joints that would go too fast slow all others
        down by the same factor, which keeps the direction; every other limit acts on its joint.
        """
        size = len(self._lower)
        if not (_usable(asked, size) and _usable(measured, size)):
            return self.ramp_down(motion)._replace(asked=asked, interventions=(Limit.INVALID,))
        stages = self._stages(asked, motion, measured)
        wish, step = asked - motion.position, stages[-1][1]
        interventions: tuple[Limit, ...] = ()
        if (np.abs(step - wish) > ROUNDING).any():
            interventions = _changed_by(wish, stages)
        else:
            step = wish
        allowed = self._keep_inside(step, motion)
        if allowed is not step:
            step, interventions = allowed, (*interventions, Limit.WORKSPACE)
        sent = motion.moved(step)
        if not interventions:
            sent = sent._replace(position=asked.copy())  # to the last bit
        return Filtered(asked, sent, interventions)

    def ramp_down(self, motion: Motion) -> Filtered:
        """Brake every joint at its acceleration limit; at rest, the last command again.

        This is also what holding is: from a motion there is no faster way to stand still.
        """
        sent = motion.moved(self._braked(motion.step))
        return Filtered(motion.position, sent, ())

    def _stages(
        self, asked: np.ndarray, motion: Motion, measured: np.ndarray
    ) -> list[tuple[Limit, np.ndarray]]:
        """The step after each limit in turn; the later one wins."""
        position, last = motion.position, motion.step
        # Each interval below holds 0, so what is clipped into one stays within those before it;
        # the last holds the braked step, which all others hold too.
        walls = _clip(asked, self._lower, self._upper)
        stages = [(Limit.POSITION, walls - position)]
        low = _clip(measured - self._deviation, self._lower, self._upper)
        high = _clip(measured + self._deviation, self._lower, self._upper)
        step = _clip(walls, low, high) - position
        stages.append((Limit.DEVIATION, step))
        excess = float(np.max(np.abs(step) / self._velocity))
        stages.append((Limit.VELOCITY, step := step / max(excess, 1.0)))
        if self._jerk is not None:
            middle = last + motion.change
            step = _clip(step, middle - self._jerk, middle + self._jerk)
            stages.append((Limit.JERK, step))
            step = _clip(step, -self._velocity, self._velocity)
            stages.append((Limit.VELOCITY, step))
        step = _clip(step, -self._room(position - low), self._room(high - position))
        stages.append((Limit.DEVIATION, step))
        down, up = self._room(position - self._lower), self._room(self._upper - position)
        stages.append((Limit.POSITION, step := _clip(step, -down, up)))
        step = _clip(step, last - self._acceleration, last + self._acceleration)
        stages.append((Limit.ACCELERATION, step))
        return stages

    def _braked(self, step: np.ndarray) -> np.ndarray:
        """The step that comes after `step` when every joint brakes as hard as it may."""
        return step - _clip(step, -self._acceleration, self._acceleration)

    def _room(self, distance: np.ndarray) -> np.ndarray:
        """The largest step after which one can still stop within `distance`; 0 if that is negative.

        With steps x, x - a, x - 2a, ... the way is x (n+1) - a n (n+1) / 2, n = floor(x / a): the
        discrete form of v = sqrt(2 a d), solved for x.
        """
        ratio = np.maximum(distance, 0.0) / self._acceleration
        n = np.floor((np.sqrt(1.0 + 8.0 * ratio) - 1.0) / 2.0)
        return self._acceleration * (ratio / (n + 1.0) + n / 2.0)

    def _keep_inside(self, step: np.ndarray, motion: Motion) -> np.ndarray:
        """`step` itself if the tool can stop in the workspace after it, else what comes nearest.

        Between braking, which the step before has been checked for, and `step` lie only steps that
        all other limits allow too.
        """
        if self._stops_inside(step, motion.position):
            return step
        safe = self._braked(motion.step)
        wish = step - safe
        share, width = 0.0, 0.5
        for _ in range(HALVINGS):
            if self._stops_inside(safe + (share + width) * wish, motion.position):
                share += width
            width /= 2.0
        return safe + share * wish

    def _stops_inside(self, step: np.ndarray, position: np.ndarray) -> bool:
        arm = slice(self._arm)
        size, limit = np.abs(step[arm]), self._acceleration[arm]
        n = np.floor(size / limit)
        here = position[arm] + step[arm]
        margin = -self._outside(here)
        # No joint moves the tool by more than its reach: far from the sides that is all to see.
        way = size * n - limit * n * (n + 1.0) / 2.0
        if margin >= float(self._kinematics.reach @ way):
            return True
        allowed = max(self._outside(position[arm]), WORKSPACE_TOLERANCE)
        if -margin > allowed:
            return False
        most = int(n.max())
        for k in np.unique(np.linspace(0, most, min(most, PATH_POINTS) + 1).round())[:0:-1]:
            m = np.minimum(k, n)
            gone = np.sign(step[arm]) * (size * m - limit * m * (m + 1.0) / 2.0)
            if self._outside(here + gone) > allowed:
                return False
        return True

    def _outside(self, joints: np.ndarray) -> float:
        """How far the tool is outside of the box, m; negative: how far from its nearest side."""
        tool = self._kinematics.tool_position(joints)
        lower, upper = self._box
        return float(np.max(np.maximum(lower - tool, tool - upper)))


def _clip(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return np.minimum(np.maximum(values, lower), upper)  # a third of np.clip's time


def _usable(values: np.ndarray, size: int) -> bool:
    return values.shape == (size,) and bool(np.isfinite(values).all())


def _changed_by(wish: np.ndarray, stages: list[tuple[Limit, np.ndarray]]) -> tuple[Limit, ...]:
    """Which of the stages changed the step, in order, each once."""
    found, before = {}, wish
    for limit, step in stages:
        if (np.abs(step - before) > ROUNDING).any():
            found[limit] = None
        before = step
    return tuple(found)
