"""Says things now and then. Asking rclpy to throttle a message costs 0.3 ms, said or not."""

import time
from collections.abc import Hashable


class Throttle:
    """Each kind of message by itself, so that none hides another. One thread."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._said: dict[Hashable, float] = {}  # when, s of a clock that never jumps

    def due(self, kind: Hashable) -> bool:
        """Whether nothing of this kind was said for so long; then it counts as said now."""
        now = time.monotonic()
        if now - self._said.get(kind, -self._seconds) < self._seconds:
            return False
        self._said[kind] = now
        return True
