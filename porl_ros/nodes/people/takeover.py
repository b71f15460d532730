"""Hears a person who takes over from the policy: twists, joint positions, a dead-man button.

Joint positions come as `sensor_msgs/JointState`, not as the numbers of the command topic: what
leader arms and sliders publish has names, and a wrong order of numbers would not be noticed.
"""

import math
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import JointState, Joy

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.people.person import Person, Wish
from porl_ros.nodes.throttle import Throttle
from porl_ros.robot.config import RobotConfig

# Heard from every publisher, reliable or not; a message that is lost is followed by another.
QUALITY = messages.qos(reliable=False, depth=10)


class Takeover:
    """Executor's thread. `now` gives ns of the clock that the control loop goes by; `on_word` is
    called when something was said."""

    def __init__(self, node: PorlNode, config: RobotConfig):
        button, timeout = node.settings.deadman_button, node.settings.takeover_timeout
        self._person = Person(config.command_joints, timeout, deadman=button >= 0)
        self._button, self._joints = button, config.command_joints
        self._log, self._timeout = node.get_logger(), timeout
        self._refusals = Throttle(5.0)
        self._acting = False
        self.now: Callable[[], int] = lambda: 0
        self.on_word: Callable[[], None] = lambda: None
        if timeout > 0.0:
            listen = node.create_subscription
            listen(TwistStamped, "teleop/twist", self._on_twist, QUALITY)
            listen(JointState, "teleop/joints", self._on_joints, QUALITY)
            if button >= 0:
                listen(Joy, "teleop/joy", self._on_joy, QUALITY)

    def tune(self, timeout: float) -> None:
        """A person has let go after another silence, s, over 0."""
        self._person.timeout = self._timeout = timeout

    @property
    def wish(self) -> Wish | None:
        """What a person asks of the next step, None when the policy acts; a change is logged."""
        wish = self._person.wish(self.now())
        if (wish is not None) != self._acting:
            self._acting = wish is not None
            until = f"let go, or silent for {self._timeout} s"
            self._log.warning(
                "a person acts; the policy waits"
                if self._acting
                else f"the policy acts again: the person has {until}"
            )
        return wish

    @property
    def news(self) -> bool:
        """Whether the person has said something since the last step of his."""
        return self._person.fresh

    def answered(self) -> None:
        """A step was taken with the wish."""
        self._person.answered()

    def forget(self) -> None:
        """The clock is another one: what was said before says nothing."""
        self._person.forget()

    def _on_twist(self, message: TwistStamped) -> None:
        v, w = message.twist.linear, message.twist.angular
        twist = np.array([v.x, v.y, v.z, w.x, w.y, w.z])
        if not np.isfinite(twist).all():
            self._refuse("teleop/twist: holds values that are not finite")
            return
        self._person.say_twist(twist, self.now())
        self.on_word()

    def _on_joints(self, message: JointState) -> None:
        if len(message.name) != len(message.position):
            sizes = f"{len(message.position)} positions for {len(message.name)} names"
            self._refuse(f"teleop/joints: {sizes}")
            return
        said = dict(zip(message.name, message.position, strict=True))
        ours = {joint: said[joint] for joint in self._joints if joint in said}
        if not ours:
            self._refuse(f"teleop/joints: names none of {', '.join(self._joints)}")
        elif not all(map(math.isfinite, ours.values())):
            self._refuse("teleop/joints: holds positions that are not finite")
        else:
            self._person.say_joints(ours, self.now())
            self.on_word()

    def _on_joy(self, message: Joy) -> None:
        known = self._button < len(message.buttons)
        if not known:
            self._refuse(
                f"teleop/joy: has {len(message.buttons)} buttons and none of index {self._button}; "
                "set deadman_button"
            )
        self._person.hold_button(known and message.buttons[self._button] == 1, self.now())
        self.on_word()

    def _refuse(self, text: str) -> None:
        if self._refusals.due(text.partition(":")[0]):
            self._log.error(f"{text}; ignored")
