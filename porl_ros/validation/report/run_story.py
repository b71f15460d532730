"""What a fine-tuning came to, as its replay store tells it: what was really done."""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from porl_ros.errors import PorlError
from porl_ros.replay import Actor, Chunk, read_store
from porl_ros.replay.tools.episodes import falls, own_numbers
from porl_ros.robot.config import RobotConfig
from porl_ros.validation.evaluation import wilson

WINDOW = 40  # episodes whose success is looked at together
POINTS = 400  # of a curve, at most


class ReportError(PorlError):
    """There is nothing to report on."""


class Episode(NamedTuple):
    """Rows `first` up to `end` of the story. `own`: it says something of the policy, for nobody
    helped it and nobody cut it short. `closed`: its end is recorded."""

    run: str
    number: int
    first: int
    end: int
    version: int  # of the policy, at its first step
    returned: float
    success: bool
    own: bool
    helped: bool
    closed: bool


class Window(NamedTuple):
    """Success of some episodes in a row, of which the last ends with row `end`."""

    end: int
    episodes: int
    success: float
    low: float
    high: float


class Story:
    """All rows of a store, runs one after the other, and the episodes in them."""

    def __init__(self, chunks: Sequence[Chunk], base_version: int, horizon: int):
        """`chunks` have rows; `base_version`: of the policy that was to be improved."""
        self.base_version = base_version
        self.rows = np.concatenate([chunk.rows for chunk in chunks])
        self.runs: dict[str, int] = {}  # name to number of rows
        self.episodes: list[Episode] = []
        begin, own = 0, own_numbers(chunks, horizon)
        for run in dict.fromkeys(chunk.run for chunk in chunks):
            parts = [chunk for chunk in chunks if chunk.run == run]
            self.runs[run] = sum(len(part.rows) for part in parts)
            self.episodes += _episodes(run, parts, begin, own)
            begin += self.runs[run]

    @property
    def own(self) -> list[Episode]:
        """Those that say something of the policy."""
        return [one for one in self.episodes if one.own]

    @property
    def of_base(self) -> list[Episode]:
        """Of them, those of the base before another policy acted."""
        begun = self.changed_at
        return [one for one in self.own if one.end <= begun]

    @property
    def since(self) -> list[Episode]:
        """Of them, those since another policy acted for the first time."""
        begun = self.changed_at
        return [one for one in self.own if one.first >= begun]

    @property
    def changed_at(self) -> int:
        """The first row of another policy than the base; the number of rows if there is none."""
        others = np.flatnonzero(self.rows["policy_version"] != self.base_version)
        return int(others[0]) if len(others) else len(self.rows)

    @property
    def sent_back(self) -> list[tuple[int, int, int]]:
        """(row, version before, version since), each time an earlier policy acted again for good:
        policies that take turns are not sent back."""
        versions, found, begin = self.rows["policy_version"], [], 0
        for rows in self.runs.values():
            of_run = versions[begin : begin + rows]
            for at in map(int, falls(of_run)):
                found.append((begin + at + 1, int(of_run[at]), int(of_run[at + 1])))
            begin += rows
        return found

    def windows(self, episodes: Sequence[Episode], size: int = WINDOW) -> list[Window]:
        """Success over the last `size` of these episodes, of fewer at first."""
        ends = np.unique(np.linspace(0, len(episodes) - 1, POINTS).astype(int)) if episodes else ()
        return [window(episodes[max(0, i - size + 1) : i + 1]) for i in map(int, ends)]

    def share(self, actor: Actor, bins: np.ndarray) -> np.ndarray:
        """Of the steps between the `bins` (k + 1,), that of an actor; (k,)."""
        acted = np.append(0, np.cumsum(self.rows["actor"] == actor))
        return np.diff(acted[bins]) / np.maximum(1, np.diff(bins))

    def returns(self, discount: float) -> np.ndarray:
        """Discounted return from each row on (n,); NaN where the end is not known."""
        found = np.full(len(self.rows), np.nan)
        for one in self.episodes:
            if one.closed:
                rewards = self.rows["reward"][one.first : one.end][::-1].astype(np.float64)
                found[one.first : one.end] = lfilter([1.0], [1.0, -discount], rewards)[::-1]
        return found

    def drawn_return(self, discount: float, success_share: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows, and the mean return of what batches are drawn from by then: all steps, and a share
        from successful episodes."""
        returns, won = self.returns(discount), np.zeros(len(self.rows), bool)
        for one in self.episodes:
            won[one.first : one.end] = one.success
        known = np.isfinite(returns)
        all_of_them, of_won = _running_mean(returns, known), _running_mean(returns, known & won)
        mixed = success_share * of_won + (1.0 - success_share) * all_of_them
        at = np.unique(np.linspace(0, len(returns) - 1, POINTS).astype(int))
        return at, np.where(np.isfinite(of_won), mixed, all_of_them)[at]


def read_story(store: Path, config: RobotConfig, base_version: int) -> Story:
    """Read all of a store. Raises ReportError for an empty one, ReplayError for one that cannot be
    read, ContractMismatch for one of another robot."""
    chunks = read_store(store, config.contract_hash, config.contract)
    chunks = [chunk for chunk in chunks if len(chunk.rows) or len(chunk.finals)]
    if not any(len(chunk.rows) for chunk in chunks):
        raise ReportError(f"{store}: holds no steps, so there is nothing to report yet")
    return Story(chunks, base_version, config.episode.horizon)


def window(episodes: Sequence[Episode]) -> Window:
    """Their success (at least one)."""
    wins = sum(one.success for one in episodes)
    return Window(
        episodes[-1].end, len(episodes), wins / len(episodes), *wilson(wins, len(episodes))
    )


def _episodes(
    run: str, parts: Sequence[Chunk], begin: int, own: Set[tuple[str, int]]
) -> list[Episode]:
    rows = np.concatenate([part.rows for part in parts])
    numbers = np.concatenate([part.first_row + np.arange(len(part.rows)) for part in parts])
    closed = np.isin(numbers, np.concatenate([part.finals["row"] for part in parts]))
    starts = np.flatnonzero(np.diff(rows["episode"], prepend=-1))
    ends = np.append(starts[1:], len(rows))
    return [
        _episode(run, rows[a:b], begin + int(a), bool(closed[b - 1]), own)
        for a, b in zip(starts, ends, strict=True)
    ]


def _episode(
    run: str, rows: np.ndarray, first: int, closed: bool, own: Set[tuple[str, int]]
) -> Episode:
    terminated, returned = bool(rows["terminated"][-1]), float(rows["reward"].sum())
    number = int(rows["episode"][0])
    return Episode(
        run=run,
        number=number,
        first=first,
        end=first + len(rows),
        version=int(rows["policy_version"][0]),
        returned=returned,
        success=closed and terminated and returned > 0.0,
        own=closed and (run, number) in own,
        helped=bool((rows["actor"] == Actor.HUMAN).any()),
        closed=closed,
    )


def _running_mean(values: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Mean of the values so far, of those chosen by `of`; NaN before the first."""
    count = np.cumsum(of)
    total = np.cumsum(np.where(of, values, 0.0))
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
