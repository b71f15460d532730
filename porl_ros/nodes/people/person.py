"""Whether a person acts instead of the policy, and what he asks for. No ROS, no own clock."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Wish(NamedTuple):
    """What a person asks of the next step; as `Controller.steer` takes it."""

    joints: np.ndarray  # (n,) positions, rad; NaN: says nothing of that one
    twist: np.ndarray | None = None  # (6,) velocity of the tool in the base frame, m/s and rad/s


class _Word(NamedTuple):
    """Something that was said, and when, ns."""

    at: int
    value: np.ndarray | bool


class Person:
    """Called by the control thread alone; times are in ns of a clock of the caller's.

    Without a dead-man button a person acts while he says something, and until `timeout` after. With
    one he acts while it is held down, and as long as it is heard; what he does not say then is to
    stand still.
    """

    def __init__(self, joints: tuple[str, ...], timeout: float, deadman: bool = False):
        """`joints` of a command; `timeout` in seconds, 0: nobody may act."""
        self._joints, self.timeout, self._deadman = joints, timeout, deadman
        self.fresh = False  # something was said since the last `answered`
        self.forget()

    def forget(self) -> None:
        """Nothing was said: the clock is another one, or the person has let go."""
        self._twist = self._positions = self._button = None
        self.fresh = False

    def say_twist(self, twist: np.ndarray, now: int) -> None:
        """The tool is to move with this velocity (6,)."""
        self._twist, self.fresh = _Word(now, twist), True

    def say_joints(self, positions: Mapping[str, float], now: int) -> None:
        """Joints are to be there; those that are no commanded ones are somebody else's."""
        wanted = [positions.get(joint, np.nan) for joint in self._joints]
        self._positions, self.fresh = _Word(now, np.array(wanted)), True

    def hold_button(self, pressed: bool, now: int) -> None:
        """The dead-man button is down, or not."""
        if not pressed:
            self.forget()
        self._button = _Word(now, pressed)

    def answered(self) -> None:
        """A step was taken with what was said."""
        self.fresh = False

    def acts(self, now: int) -> bool:
        """Whether the person acts, and the policy does not."""
        if self._deadman:
            return self._heard(self._button, now) and bool(self._button.value)
        return self._heard(self._twist, now) or self._heard(self._positions, now)

    def wish(self, now: int) -> Wish | None:
        """What he asks for; None when he does not act."""
        if not self.acts(now):
            return None
        joints, twist = np.full(len(self._joints), np.nan), None
        if self._heard(self._positions, now):
            joints = self._positions.value
        if self._heard(self._twist, now):
            twist = self._twist.value
        return Wish(joints, twist)

    def _heard(self, word: _Word | None, now: int) -> bool:
        most = self.timeout * 1e9
        return word is not None and most > 0.0 and 0 <= now - word.at <= most
