"""The command topic of a robot: the only place from which commands leave."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller


class Commands:
    """Sends commands, and brings the robot to rest. Executor's thread.

    Braking by the clock sends one command a control period until the robot is told to stand, and
    then falls silent: a position-controlled robot holds its last command.
    """

    def __init__(self, node: PorlNode, config: RobotConfig, controller: Controller):
        command = config.action.command
        kind = messages.MESSAGES[command.type]
        self._topic = node.create_publisher(kind, command.topic, messages.COMMAND)
        self._node, self._config, self._controller = node, config, controller
        self._last = None
        self._sent_at = -np.inf  # s of a clock that never jumps
        self._ramp: Iterator[float] | None = None
        self._at_rest: Callable[[], None] = lambda: None
        self._timer = node.steady_timer(1.0 / config.control_rate, self._advance)
        self._timer.cancel()

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return self._topic.get_subscription_count() > 0

    @property
    def standing(self) -> bool:
        """Whether the robot is told to stand."""
        return self._controller.standing

    @property
    def braking(self) -> bool:
        """Whether `brake` has still to send something."""
        return self._ramp is not None

    def send(self, command: np.ndarray, stamp: int) -> None:
        """Send joint positions (n,) that answer the observation of this stamp."""
        self._last = messages.to_command(self._config, command, stamp)
        self._topic.publish(self._last)
        self._sent_at = time.monotonic()

    def again(self) -> None:
        """Send the last command once more: it was lost."""
        if self._last is not None:
            self._topic.publish(self._last)

    def forget(self) -> None:
        """What was sent last answers nothing any more."""
        self._last = None

    def brake_once(self, stamp: int) -> None:
        """Answer the observation of this stamp with braking."""
        self.send(self._controller.hold().command, stamp)

    def brake(self, at_rest: Callable[[], None]) -> None:
        """Bring the robot to rest; returns at once, and calls `at_rest` when it is told to stand.

        The command that lets it stand goes out at once if braking takes no longer, else the first
        one goes out when a control period has passed since the last command.
        """
        self._at_rest = at_rest
        if self._ramp is None:
            self._ramp = self._braking()
            self._advance()

    def finish_braking(self) -> None:
        """Bring the robot to rest before returning: on the way down nobody else would."""
        self._timer.cancel()
        for wait in self._ramp or self._braking():
            time.sleep(wait)
        self._ramp = None

    def _braking(self) -> Iterator[float]:
        """Sends a braking command after each wait that it yields [s]."""
        while not self._controller.standing:
            command = self._controller.hold().command
            if not self._controller.standing:  # it still moves: not before its time
                yield max(0.0, self._sent_at + 1.0 / self._config.control_rate - time.monotonic())
            self.send(command, self._node.get_clock().now().nanoseconds)

    def _advance(self) -> None:
        self._timer.cancel()
        wait = next(self._ramp, None) if self._ramp else None
        if wait is None:
            self._ramp = None
            self._at_rest()
        else:
            self._timer.timer_period_ns = max(round(wait * 1e9), 1000)
            self._timer.reset()
