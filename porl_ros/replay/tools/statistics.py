"""What a run came to: episodes, returns, who acted, how fast. Rows are looked at, not kept."""

from dataclasses import dataclass, field

import numpy as np

from porl_ros.replay.reading.follow import Chunk
from porl_ros.replay.schema import Actor


def actor_name(number: int) -> str:
    """How people call an Actor; "actor 9" for one that this release does not know."""
    return {int(actor): actor.name.lower() for actor in Actor}.get(number, f"actor {number}")


@dataclass
class EpisodeSummary:
    """An episode as far as it is recorded; stamps are of the ROS clock, ns."""

    number: int
    version: int  # of the policy, at its first step
    start: int
    end: int = 0
    length: int = 0  # steps
    ret: float = 0.0  # sum of rewards, not discounted
    terminated: bool = False
    finished: bool = False  # ended in order: not cut by a crash, and not running

    @property
    def success(self) -> bool:
        """Finished, terminated, and worth something."""
        return self.finished and self.terminated and self.ret > 0

    @property
    def rate(self) -> float:
        """Steps a second [Hz]; NaN if the clock did not go on."""
        seconds = (self.end - self.start) / 1e9
        return (self.length - 1) / seconds if seconds > 0 else float("nan")


@dataclass
class RunStatistics:
    """Sums over a run's chunks, which come in order. One thread."""

    rows: int = 0
    first_stamp: int = 0  # ns, ROS clock
    last_stamp: int = 0
    episodes: list[EpisodeSummary] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    _actors: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    _next_row: int = 0

    def add(self, chunk: Chunk) -> None:
        """Take in the next chunk of the run."""
        rows = chunk.rows
        ends = {int(row) for row in chunk.finals["row"]}
        if self.episodes and self._next_row - 1 in ends:
            self.episodes[-1].finished = True
        self._next_row = chunk.first_row + len(rows)
        if not len(rows):
            return
        if not self.rows:
            self.first_stamp = int(rows["stamp"][0])
        self.rows += len(rows)
        self.last_stamp = int(rows["stamp"][-1])
        self.versions |= {int(version) for version in np.unique(rows["policy_version"])}
        self._actors += np.bincount(rows["actor"], minlength=256)
        starts = [0, *(np.flatnonzero(np.diff(rows["episode"])) + 1).tolist(), len(rows)]
        for start, end in zip(starts, starts[1:], strict=False):
            self._extend(rows[start:end], chunk.first_row + end - 1 in ends)

    def _extend(self, rows: np.ndarray, finished: bool) -> None:
        """Rows of one episode."""
        number = int(rows["episode"][0])
        if not self.episodes or self.episodes[-1].number != number:
            first = rows[0]
            self.episodes.append(
                EpisodeSummary(number, int(first["policy_version"]), int(first["stamp"]))
            )
        episode = self.episodes[-1]
        episode.end = int(rows["stamp"][-1])
        episode.length += len(rows)
        episode.ret += float(rows["reward"].sum(dtype=np.float64))
        episode.terminated = bool(rows["terminated"][-1])
        episode.finished = finished

    @property
    def finished(self) -> list[EpisodeSummary]:
        """Episodes that ended in order."""
        return [episode for episode in self.episodes if episode.finished]

    @property
    def success(self) -> float:
        """Share of the finished episodes; NaN without one."""
        return _mean([episode.success for episode in self.finished])

    @property
    def mean_return(self) -> float:
        """Of the finished episodes; NaN without one."""
        return _mean([episode.ret for episode in self.finished])

    @property
    def actors(self) -> dict[str, float]:
        """Who acted, by share of the rows; names in lower case, only those that did."""
        return {
            actor_name(actor): float(self._actors[actor] / self.rows)
            for actor in map(int, np.flatnonzero(self._actors))
        }

    @property
    def rate(self) -> float:
        """Median over the episodes, steps a second [Hz]; NaN if it cannot be known."""
        rates = [rate for episode in self.episodes if np.isfinite(rate := episode.rate)]
        return float(np.median(rates)) if rates else float("nan")


def _mean(values: list) -> float:
    return float(np.mean(values)) if values else float("nan")
