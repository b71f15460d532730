"""Drawing slots: with replacement, uniformly among those that have a flag, in O(batch)."""

import numpy as np

from porl_ros.replay.memory.ring import READY, Ring


class Sampler:
    """Draws from a ring. Deterministic given the generator, the ring's history and earlier calls.

    Few slots are finished or successful at first, so these are looked up, once until `changed`.
    """

    def __init__(self, ring: Ring):
        self._ring = ring
        self._listed: dict[int, np.ndarray] = {}

    def changed(self) -> None:
        """Slots have become finished or successful."""
        self._listed.clear()

    def draw(
        self, random: np.random.Generator, count: int, flag: int, newest: int | None = None
    ) -> np.ndarray:
        """`count` slots (int64) that have a flag, among the `newest` slots only if that is given;
        none if no slot has it."""
        # Nearly every slot is ready: drawing from all of them, and again, beats looking them up
        candidates = None if flag == READY or newest else self._list(flag)
        first, filled = self._window(newest)
        drawn = np.empty(count, np.int64)
        wrong = np.arange(count)
        while len(wrong):
            limit = filled if candidates is None else len(candidates)
            if limit == 0:
                return drawn[:0]
            picked = random.integers(limit, size=len(wrong))
            if candidates is not None:
                picked = candidates.take(picked)
            elif first:
                picked = (picked + first) % self._ring.capacity
            drawn[wrong] = picked
            again = wrong[(self._ring.flags.take(picked) & flag) == 0]
            if 2 * len(again) > len(wrong):  # mostly in vain: look up which slots have it now
                self._listed.pop(flag, None)
                candidates = self._list_newest(flag, newest) if newest else self._list(flag)
            wrong = again
        return drawn

    def _window(self, newest: int | None) -> tuple[int, int]:
        """Where to draw: from this address on (from slot 0, without `newest`), and how many."""
        filled = min(self._ring.given, self._ring.capacity)
        if newest is None or newest >= filled:
            return 0, filled
        return self._ring.given - newest, newest

    def _list(self, flag: int) -> np.ndarray:
        """The slots with a flag, from the last look-up; some may have lost it since."""
        if flag == READY:  # gained with every row, so an earlier look-up would leave out the newest
            return np.flatnonzero(self._ring.flags & flag)
        if flag not in self._listed:
            self._listed[flag] = np.flatnonzero(self._ring.flags & flag)
        return self._listed[flag]

    def _list_newest(self, flag: int, newest: int) -> np.ndarray:
        first, count = self._window(newest)
        slots = np.arange(first, first + count) % self._ring.capacity
        return slots[(self._ring.flags.take(slots) & flag) != 0]

    def stale(self) -> dict[str, list[int]]:
        """By flag, the listed slots that have lost it: they decide what is drawn in vain."""
        flags = self._ring.flags
        return {
            str(flag): slots[(flags.take(slots) & flag) == 0].tolist()
            for flag, slots in self._listed.items()
        }

    def restore(self, stale: dict[str, list[int]]) -> None:
        """List slots as they were listed when `stale` was taken."""
        self.changed()
        for flag, slots in stale.items():
            self._listed[int(flag)] = np.union1d(self._list(int(flag)), slots).astype(np.int64)
