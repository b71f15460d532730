"""From chunks of rows to linked slots: what follows what, and which episodes are complete."""

import logging
from collections import Counter
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from porl_ros.replay.memory.history import FeedHistory, Restart, Stretch
from porl_ros.replay.memory.ring import SHOWN, Ring, join_records
from porl_ros.replay.reading.follow import Chunk
from porl_ros.replay.schema import Actor

log = logging.getLogger(__name__)


class Episode(NamedTuple):
    """A completed episode, as far as it was fed. `ret` is the undiscounted sum of rewards."""

    run: str
    number: int
    length: int
    ret: float
    success: bool  # terminated, with a positive return
    policy_version: int  # of its first step
    helped: bool  # a person acted in it


class Finished(NamedTuple):
    """A completed episode, with the addresses (k,) and rewards (k,) of its rows."""

    episode: Episode
    addresses: np.ndarray
    rewards: np.ndarray


class _OpenEpisode:
    """The rows so far of a run's running episode."""

    def __init__(self, number: int, policy_version: int, first: int):
        self.number, self.policy_version, self.first = number, policy_version, first
        self._addresses: list[np.ndarray] = []
        self._rewards: list[np.ndarray] = []
        self._terminated = self._helped = False

    def add(self, addresses: np.ndarray, rows: np.ndarray) -> None:
        self._addresses.append(addresses)
        self._rewards.append(rows["reward"].astype(np.float64))
        self._terminated = bool(rows["terminated"][-1])
        self._helped |= bool((rows["actor"] == Actor.HUMAN).any())

    @property
    def last(self) -> int:
        return int(self._addresses[-1][-1])

    def finish(self, run: str) -> Finished:
        rewards, addresses = np.concatenate(self._rewards), np.concatenate(self._addresses)
        result = float(rewards.sum())
        success = self._terminated and result > 0
        numbers = self.number, len(rewards), result, success, self.policy_version
        return Finished(Episode(run, *numbers, self._helped), addresses, rewards)


class _Run:
    """How far a run was fed: number of its next row, and of the next one whose final can come."""

    def __init__(self, next_row: int):
        self.next_row = self.final_row = next_row
        self.episode: _OpenEpisode | None = None


class Feeder:
    """Writes rows to a ring and links them. One thread.

    What is not finite is left out, as if it had been lost; `refused` counts it by field.
    """

    def __init__(self, ring: Ring):
        self.refused: Counter[str] = Counter()
        self._ring, self._history = ring, FeedHistory(ring.capacity)
        self._runs: dict[str, _Run] = {}

    def feed(self, chunk: Chunk) -> list[Finished]:
        """Add a chunk's rows; returns the episodes it completed, in order."""
        run, first_row, rows, finals = chunk
        packed = self._ring.pack(rows)
        finite = np.isfinite(self._ring.floats(packed))
        whole = [(0, len(rows))] if finite.all() else self._refuse_rows(chunk, finite.all(axis=1))
        finals = self._finite_finals(chunk) if len(finals) else finals
        at_once = max(1, self._ring.capacity // 4)  # with their finals: at most half of the ring
        finished: list[Finished] = []
        for begin, end in whole:
            for start in range(begin, max(end, begin + 1), at_once):
                part = slice(start, min(end, start + at_once))
                number = first_row + start
                finished += self._feed(run, number, rows[part], packed[part], finals)
        if self._history.long:
            self.history()
        return finished

    @property
    def cursor(self) -> dict[str, tuple[int, int]]:
        """How far each run was fed: its next row, and the next one whose final can come."""
        return {name: (run.next_row, run.final_row) for name, run in sorted(self._runs.items())}

    @cursor.setter
    def cursor(self, cursor: dict[str, tuple[int, int]]) -> None:
        """For the runs of which nothing had to be fed again."""
        for name, (next_row, final_row) in cursor.items():
            run = self._runs.setdefault(name, _Run(next_row))
            run.final_row = max(run.final_row, final_row)

    def history(self) -> list[Stretch]:
        """What to feed again for a ring like this one."""
        since = {name: run.episode.first for name, run in self._runs.items() if run.episode}
        return self._history.needed(self._ring.oldest, since)

    def _refuse_rows(self, chunk: Chunk, finite: np.ndarray) -> list[tuple[int, int]]:
        """Count what is not finite; where the stretches between begin and end."""
        for field in ("observation", "action", "reward"):
            values = chunk.rows[field].reshape(len(finite), -1)
            self._refuse(chunk, field, ~np.isfinite(values).all(axis=1))
        return [(a + 1, b) for a, b in pairwise([-1, *np.flatnonzero(~finite), len(finite)])]

    def _finite_finals(self, chunk: Chunk) -> np.ndarray:
        finite = np.isfinite(chunk.finals["observation"]).all(axis=1)
        self._refuse(chunk, "final_observation", ~finite)
        return chunk.finals[finite]

    def _refuse(self, chunk: Chunk, field: str, bad: np.ndarray) -> None:
        count = int(np.count_nonzero(bad))
        if not count:
            return
        if not self.refused[field]:
            rows = f"rows {chunk.first_row} to {chunk.first_row + len(chunk.rows) - 1}"
            where = f"{field} is not finite in {count} places"
            log.error("replay: %s of %s: %s; such rows are left out", rows, chunk.run, where)
        self.refused[field] += count

    def _feed(
        self, run: str, first_row: int, rows: np.ndarray, packed: np.ndarray, finals: np.ndarray
    ) -> list[Finished]:
        known = self._runs.setdefault(run, _Run(first_row))
        if known.next_row != first_row:
            known.episode = None  # rows are missing in between
        known.next_row = first_row + len(rows)
        first, restart = self._ring.given, None
        finished: list[Finished] = []
        if len(finals):
            finals = finals[finals["row"] < known.next_row]
            finished += self._close_late(run, known, finals[finals["row"] == first_row - 1])
            known.final_row = max(known.final_row, int(finals["row"].max(initial=-1)) + 1)
            finals = finals[finals["row"] >= first_row]
        if len(rows):
            addresses, ends = self._write(rows, packed, finals, first_row)
            restart = self._follow(run, known, rows, addresses, ends, finished)
        end = self._ring.given
        self._history.add(
            Stretch(first, end, run, first_row, known.next_row, known.final_row), restart
        )
        return finished

    def _close_late(self, run: str, known: _Run, finals: np.ndarray) -> list[Finished]:
        """Close the open episode with the final of its last row, which came with earlier rows."""
        episode, known.episode = known.episode, None if len(finals) else known.episode
        if not len(finals) or not episode:
            return []
        (address,) = self._ring.put(self._ring.pack_finals(finals[-1:]), np.zeros(1, bool))
        self._ring.link(episode.last, int(address))
        return [episode.finish(run)]

    def _write(
        self, rows: np.ndarray, packed: np.ndarray, finals: np.ndarray, first_row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Put rows and finals where they belong; the addresses of the rows, and which have one."""
        addresses, ends = self._place(rows, packed, finals, first_row)
        shown = np.isin(rows["actor"], (Actor.HUMAN, Actor.EXPERT))
        self._ring.flags[addresses[shown] % self._ring.capacity] |= SHOWN
        return addresses, ends

    def _place(
        self, rows: np.ndarray, packed: np.ndarray, finals: np.ndarray, first_row: int
    ) -> tuple[np.ndarray, np.ndarray]:
        count, closed = len(rows), finals["row"] - first_row
        linked, ends = np.zeros(count, bool), np.zeros(count, bool)
        linked[:-1] = rows["episode"][1:] == rows["episode"][:-1]
        if not len(closed):
            return self._ring.put(packed, linked), ends
        ends[closed] = True
        places = np.arange(count) + np.cumsum(ends) - ends  # each final comes after its row
        order = np.empty(places[-1] + 1 + ends[-1], np.int64)
        order[places], order[places[closed] + 1] = np.arange(count), count + np.arange(len(closed))
        both = join_records([packed, self._ring.pack_finals(finals)])
        linked = np.concatenate([linked | ends, np.zeros(len(closed), bool)])
        return self._ring.put(both.take(order), linked.take(order))[places], ends

    def _follow(
        self,
        run: str,
        known: _Run,
        rows: np.ndarray,
        addresses: np.ndarray,
        ends: np.ndarray,
        finished: list[Finished],
    ) -> Restart | None:
        """Continue, open and close episodes; where the last one begins that begins here."""
        numbers, restart = rows["episode"], None
        if known.episode and known.episode.number == numbers[0]:
            self._ring.link(known.episode.last, int(addresses[0]))
        else:
            known.episode = None
        breaks = np.flatnonzero(ends[:-1] | (numbers[1:] != numbers[:-1])) + 1
        for begin, end in pairwise([0, *breaks.tolist(), len(rows)]):
            if known.episode is None or begin:
                first = int(addresses[begin])
                version = int(rows["policy_version"][begin])
                known.episode = _OpenEpisode(int(numbers[begin]), version, first)
                restart = Restart(first, known.next_row - len(rows) + begin)
            known.episode.add(addresses[begin:end], rows[begin:end])
            if ends[end - 1]:
                finished.append(known.episode.finish(run))
                known.episode = None
        return restart
