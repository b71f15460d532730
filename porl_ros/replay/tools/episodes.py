"""What the episodes in a store came to, without keeping their rows."""

from collections.abc import Iterable, Sequence

import numpy as np

from porl_ros.replay.memory.replay_memory import Episode
from porl_ros.replay.reading.follow import Chunk
from porl_ros.replay.schema import Actor


def episodes(chunks: Iterable[Chunk]) -> list[Episode]:
    """The completed episodes, runs in the order in which they come, and in order within a run.

    An episode of which rows are missing counts for what is there.
    """
    runs: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        runs.setdefault(chunk.run, []).append(chunk)
    return [episode for run, parts in runs.items() for episode in _of_run(run, parts)]


def returns(chunks: Iterable[Chunk]) -> int:
    """How often a policy side went back to an earlier version within a run, for good: of two that
    take turns each acts again."""
    runs: dict[str, list[np.ndarray]] = {}
    for chunk in chunks:
        runs.setdefault(chunk.run, []).append(chunk.rows["policy_version"])
    return sum(len(falls(np.concatenate(versions))) for versions in runs.values())


def falls(versions: np.ndarray) -> np.ndarray:
    """Rows of a run (n,) after which an earlier version acts and the present one never again."""
    at = np.flatnonzero(np.diff(versions) < 0)
    known, from_the_end = np.unique(versions[::-1], return_index=True)
    last = len(versions) - 1 - from_the_end
    return at[last[np.searchsorted(known, versions[at])] == at]


def own_episodes(chunks: Sequence[Chunk], horizon: int) -> list[Episode]:
    """Of the completed episodes those that say something of the policy, in order."""
    own = own_numbers(chunks, horizon)
    return [episode for episode in episodes(chunks) if (episode.run, episode.number) in own]


def own_numbers(chunks: Iterable[Chunk], horizon: int) -> set[tuple[str, int]]:
    """Run and number of the episodes that say something of the policy: nobody helped it, and it
    was not cut short."""
    ended, helped = set(), set()
    for chunk in chunks:
        rows = chunk.rows
        over = (rows["terminated"] > 0) | (rows["step"] == horizon - 1)
        for found, where in ((ended, over), (helped, rows["actor"] == Actor.HUMAN)):
            found |= {(chunk.run, int(number)) for number in rows["episode"][where]}
    return ended - helped


def _of_run(run: str, parts: list[Chunk]) -> list[Episode]:
    rows = np.concatenate([part.rows for part in parts])
    finals = np.concatenate([part.finals for part in parts])
    if not len(rows):
        return []
    numbers = np.concatenate([part.first_row + np.arange(len(part.rows)) for part in parts])
    starts = np.flatnonzero(np.diff(rows["episode"], prepend=-1))
    ends = np.append(starts[1:], len(rows)) - 1
    sums = np.add.reduceat(rows["reward"].astype(np.float64), starts)
    helped = np.logical_or.reduceat(rows["actor"] == Actor.HUMAN, starts)
    completed = np.isin(numbers[ends], finals["row"])
    return [
        Episode(
            run=run,
            number=int(rows["episode"][start]),
            length=int(end - start + 1),
            ret=float(ret),
            success=bool(rows["terminated"][end] and ret > 0),
            policy_version=int(rows["policy_version"][start]),
            helped=bool(by_hand),
        )
        for start, end, ret, by_hand in zip(
            *(of_each[completed] for of_each in (starts, ends, sums, helped)), strict=True
        )
    ]
