"""Episodes of a memory that are not learned from for now, to judge critics by."""

import numpy as np

from porl_ros.replay.memory.ring import Ring


class HeldOut:
    """Hides rows of a ring from sampling: their flags are kept here meanwhile. One thread."""

    def __init__(self, ring: Ring):
        self._ring = ring
        self._episodes: list[tuple[np.ndarray, np.ndarray]] = []  # addresses and flags

    def add(self, addresses: np.ndarray) -> None:
        """Hide rows, which are all ready."""
        alive = self._ring.alive(addresses)
        slots = alive % self._ring.capacity
        self._episodes.append((alive, self._ring.flags[slots]))
        self._ring.flags[slots] = 0
        self._ring.size -= len(slots)

    def slots(self) -> np.ndarray:
        """Where all that is hidden lies, in order."""
        parts = [self._ring.alive(addresses) for addresses, _ in self._episodes]
        return np.concatenate([np.empty(0, np.int64), *parts]) % self._ring.capacity

    def release(self) -> None:
        """Hide nothing any more."""
        for addresses, flags in self._episodes:
            alive = self._ring.alive(addresses)
            self._ring.flags[alive % self._ring.capacity] |= flags[len(addresses) - len(alive) :]
            self._ring.size += len(alive)
        self._episodes.clear()

    def ranges(self) -> list[list[tuple[int, int]]]:
        """The hidden addresses of each episode, as (first, end) where they are consecutive."""
        return [_ranges(self._ring.alive(addresses)) for addresses, _ in self._episodes]

    def restore(self, episodes: list[list[tuple[int, int]]]) -> None:
        """Hide what `ranges` told."""
        for ranges in episodes:
            parts = [np.arange(first, end) for first, end in ranges]
            self.add(np.concatenate([np.empty(0, np.int64), *parts]))


def _ranges(addresses: np.ndarray) -> list[tuple[int, int]]:
    parts = np.split(addresses, np.flatnonzero(np.diff(addresses) != 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part)]
