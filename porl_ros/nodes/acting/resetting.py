"""From the end of one episode to the begin of the next, as the robot config says. No ROS."""

from collections.abc import Callable

import numpy as np

from porl_ros.nodes.people.person import Wish
from porl_ros.robot.config import RobotConfig

ARRIVED = 1e-6  # rad; a command that differs by less is the waypoint's


class Resetting:
    """Says where the robot is to go, and when it is there what is waited for. Control thread.

    `say` is told what happens, in words.
    """

    def __init__(self, config: RobotConfig, say: Callable[[str], None]):
        self._plan, self._say = config.reset, say
        limits = [config.safety.joints[joint] for joint in config.command_joints]
        self._most = np.array([x.velocity for x in limits]) * self._plan.speed / config.control_rate
        self._patience = round(self._plan.patience * config.control_rate)
        self.stop()

    @property
    def going(self) -> bool:
        """There is a waypoint to go to."""
        return self._next is not None and self._next < len(self._plan.waypoints) and not self.stuck

    @property
    def ready(self) -> bool:
        """All waypoints are reached."""
        return self._next is not None and self._next == len(self._plan.waypoints)

    def start(self) -> None:
        """Go to the first waypoint, unless that is under way."""
        if self._next is None:
            self._next = 0
            if self.going:
                self._say(f"reset: going to {len(self._plan.waypoints)} waypoints; keep clear")

    def stop(self) -> None:
        """Forget how far it has come."""
        self._next: int | None = None
        self._steps, self.stuck = 0, False

    def wish(self, sent: np.ndarray, measured: np.ndarray) -> Wish:
        """The next step, from where the joints were sent last and are now (n,)."""
        goal = np.array(self._plan.waypoints[self._next])
        self._steps += 1
        there = np.abs(goal - sent).max() < ARRIVED
        if there and np.abs(goal - measured).max() <= self._plan.tolerance:
            self._next, self._steps = self._next + 1, 0
        elif self._steps > self._patience:
            self.stuck = True
            joint = int(np.abs(goal - measured).argmax())
            self._say(
                f"reset: waypoint {self._next} was not reached in {self._plan.patience} s, joint "
                f"{joint} is {abs(goal - measured)[joint]:.3g} off; free the robot and call "
                "reset_done"
            )
        way = goal - sent
        return Wish(sent + way / max(1.0, float((np.abs(way) / self._most).max())))
