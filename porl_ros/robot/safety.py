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

from porl_ros.robot.braking import braked, clip, room
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.workspace import Workspace

# A command that exceeds a limit by less was meant to be on it, rad (or m).
ROUNDING = 1e-12
# How often the way between braking and the command is halved to find what the workspace allows.
HALVINGS = 3


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
    """What was asked for, what is sent, and the limits between the two (empty: none).

    Where nothing usable was asked for, `asked` is the last command: to stay.
    """

    asked: np.ndarray
    motion: Motion  # with what is sent as its last command
    interventions: tuple[Limit, ...]

    @property
    def command(self) -> np.ndarray:
        """Joint positions (n,) to send."""
        return self.motion.position


class SafetyFilter:
    """The limits of one robot, see the module. Pure: results depend on the arguments alone.

    Not thread-safe, because the kinematics are not.
    """

    def __init__(self, config: RobotConfig, kinematics: ArmKinematics):
        limits = [config.safety.joints[joint] for joint in config.command_joints]
        period = 1.0 / config.control_rate
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        self._deviation = np.array([limit.deviation or np.inf for limit in limits])
        # All others per control step: rad, rad a step, ...
        self._full_velocity = np.array([limit.velocity for limit in limits]) * period
        given = np.array([limit.acceleration or np.inf for limit in limits]) * period**2
        # No limit: there is no more than from full speed one way to full speed the other way.
        self._full_acceleration = np.minimum(given, 2.0 * self._full_velocity)
        jerk = np.array([limit.jerk or np.inf for limit in limits]) * period**3
        self._jerk = jerk if np.isfinite(jerk).any() else None
        self._arm = slice(len(kinematics.joints))
        self._box, self._kinematics = config.safety.workspace, kinematics
        self.scale_velocity(1.0)
        self.scale_acceleration(1.0)

    def scale_velocity(self, share: float) -> None:
        """Use this share of the velocity limits, over 0 and at most 1. Who is faster brakes as the
        acceleration allows."""
        self._velocity = share * self._full_velocity

    def scale_acceleration(self, share: float) -> None:
        """Use this share of the acceleration limits, over 0 and at most 1. Only while the robot
        stands: what it was sent before it could stop from by the limits of then."""
        self._acceleration = share * self._full_acceleration
        self._workspace = Workspace(self._box, self._kinematics, self._acceleration[self._arm])

    def filter(self, asked: np.ndarray, motion: Motion, measured: np.ndarray) -> Filtered:
        """Limit `asked`, joint positions (n,), after what was sent so far.

        `measured`: where the joints are now (n,). Joints that would go too fast slow all others
        down by the same factor, which keeps the direction; every other limit acts on its joint.
        What is not n finite numbers is answered by `ramp_down`, and so are such measurements.
        """
        size = len(self._lower)
        asked, measured = numbers(asked, size), numbers(measured, size)
        if asked is None or measured is None:
            return self.ramp_down(motion)._replace(interventions=(Limit.INVALID,))
        stages = self._stages(asked, motion, measured)
        wish, step = asked - motion.position, stages[-1][1]
        changed = (np.abs(step - wish) > ROUNDING).any()
        step, interventions = (step, _changed_by(wish, stages)) if changed else (wish, ())
        inside = self._keep_inside(step, motion)
        if inside is not step:
            return Filtered(asked, motion.moved(inside), (*interventions, Limit.WORKSPACE))
        sent = motion.moved(step)
        if not changed:
            sent = sent._replace(position=asked.copy())  # to the last bit
        return Filtered(asked, sent, interventions)

    def ramp_down(self, motion: Motion) -> Filtered:
        """Brake every joint at its acceleration limit; at rest, the last command again.

        This is also what holding is: from a motion there is no faster way to stand still.
        """
        sent = motion.moved(braked(motion.step, self._acceleration))
        return Filtered(motion.position, sent, ())

    def _stages(
        self, asked: np.ndarray, motion: Motion, measured: np.ndarray
    ) -> list[tuple[Limit, np.ndarray]]:
        """The step after each limit in turn; the later one wins.

        The intervals of velocity, deviation and position hold 0, so what is clipped into one stays
        within those before it. That of the acceleration shares the braked step with all of them,
        unless the deviation runs away, so what is clipped into it stays within them too.
        """
        here, last, most = motion.position, motion.step, self._acceleration
        low = clip(measured - self._deviation, self._lower, self._upper)
        high = clip(measured + self._deviation, self._lower, self._upper)
        distances = np.array((here - low, high - here, here - self._lower, self._upper - here))
        near, far, down, up = room(distances, most)
        walls = clip(asked, self._lower, self._upper)
        step = clip(walls, low, high) - here
        stages = [(Limit.POSITION, walls - here), (Limit.DEVIATION, step)]
        excess = float((np.abs(step) / self._velocity).max())
        stages.append((Limit.VELOCITY, step := step / max(excess, 1.0)))
        if self._jerk is not None:
            middle, jerk, speed = last + motion.change, self._jerk, self._velocity
            stages.append((Limit.JERK, step := clip(step, middle - jerk, middle + jerk)))
            stages.append((Limit.VELOCITY, step := clip(step, -speed, speed)))
        stages.append((Limit.POSITION, step := clip(step, -down, up)))
        stages.append((Limit.DEVIATION, step := clip(step, -near, far)))
        stages.append((Limit.ACCELERATION, clip(step, last - most, last + most)))
        return stages

    def _keep_inside(self, step: np.ndarray, motion: Motion) -> np.ndarray:
        """`step` itself if the tool can stop in the workspace after it, else what comes nearest.

        Braking is inside: the step before was sent because of that. And what lies between braking
        and `step` is within every other limit, because both are.
        """
        arm, workspace = self._arm, self._workspace
        here = motion.position[arm]
        if workspace.stops_well_inside(step[arm], here):
            return step
        allowed = workspace.allowed(here)
        if workspace.stops_inside(step[arm], here, allowed):
            return step
        safe = braked(motion.step, self._acceleration)
        wish, share, width = step - safe, 0.0, 0.5
        for _ in range(HALVINGS):
            tried = safe[arm] + (share + width) * wish[arm]
            if workspace.stops_inside(tried, here, allowed):
                share += width
            width /= 2.0
        return safe + share * wish


def numbers(values: object, size: int, dtype: type = np.float64) -> np.ndarray | None:
    """`values` as an array of shape (size,); None when they are not that many finite numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of unequal length
        return None
    if array.shape != (size,) or array.dtype.kind not in "fiu":
        return None
    with np.errstate(over="ignore"):  # what is too large for the type becomes infinite
        array = array.astype(dtype, copy=False)
    return array if np.isfinite(array).all() else None


def _changed_by(wish: np.ndarray, stages: list[tuple[Limit, np.ndarray]]) -> tuple[Limit, ...]:
    """Which of the stages changed the step, in order, each once."""
    found, before = {}, wish
    for limit, step in stages:
        if (np.abs(step - before) > ROUNDING).any():
            found[limit] = None
        before = step
    return tuple(found)
