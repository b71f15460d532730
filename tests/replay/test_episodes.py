"""What is said of episodes is what the memory says of them, however the rows arrive."""

import numpy as np
import pytest
from replay_rows import SCHEMA

from porl_ros.replay import Actor, Chunk, ReplayMemory
from porl_ros.replay.tools.episodes import episodes, returns


def made(run: str, lengths, outcomes, versions) -> Chunk:
    count = sum(lengths)
    rows = np.zeros(count, SCHEMA.row_dtype)
    rows["episode"] = np.repeat(np.arange(len(lengths)), lengths)
    rows["policy_version"] = np.repeat(versions, lengths)
    ends = np.cumsum(lengths) - 1
    rows["reward"][ends] = rows["terminated"][ends] = outcomes
    rows["truncated"][ends] = np.logical_not(outcomes)
    finals = np.zeros(len(ends), SCHEMA.final_dtype)
    finals["row"], finals["truncated"] = ends, rows["truncated"][ends]
    return Chunk(run, 0, rows, finals)


def split(chunk: Chunk, size: int) -> list[Chunk]:
    """In chunks of `size`, each episode's end with its last row."""
    parts = []
    for first in range(0, len(chunk.rows), size):
        rows = chunk.rows[first : first + size]
        at = (chunk.finals["row"] >= first) & (chunk.finals["row"] < first + size)
        parts.append(Chunk(chunk.run, first, rows, chunk.finals[at]))
    return parts


@pytest.mark.parametrize("size", [1, 3, 100])
def test_as_the_memory_has_it(size):
    whole = made("arm/a", [4, 1, 7, 3], [1, 0, 1, 0], [0, 0, 1, 2])
    whole.rows["actor"][6] = Actor.HUMAN  # in the third
    chunks = split(whole, size)
    memory = ReplayMemory(SCHEMA.observation_size, SCHEMA.action_size, 100, 0.9, 0)
    expected = [episode for chunk in chunks for episode in memory.extend(chunk)]
    found = episodes(chunks)
    assert found == expected
    assert [episode.length for episode in found] == [4, 1, 7, 3]
    assert [episode.success for episode in found] == [True, False, True, False]
    assert [episode.helped for episode in found] == [False, False, True, False]


def test_an_episode_that_still_runs_is_left_out():
    chunk = made("arm/a", [4, 3], [1, 1], [0, 0])
    assert len(episodes([chunk._replace(finals=chunk.finals[:1])])) == 1
    assert episodes([chunk._replace(rows=chunk.rows[:0], finals=chunk.finals[:0])]) == []
    assert episodes([]) == []


def test_returns_are_counted_within_runs():
    first = made("arm/a", [2, 2, 2, 2], [0] * 4, [0, 3, 1, 2])
    second = made("arm/b", [2, 2], [0] * 2, [0, 1])  # a restart begins with an old version again
    assert returns([*split(first, 3), *split(second, 1)]) == 1


def test_two_that_take_turns_are_no_returns_but_the_last_one_may_be():
    turns = made("arm/a", [2, 2, 2, 2], [0] * 4, [0, 3, 0, 3])
    given_up = made("arm/b", [2, 2, 2, 2, 2], [0] * 5, [0, 3, 0, 3, 0])
    assert returns([turns]) == 0
    assert returns([given_up]) == 1
    assert returns(split(given_up, 3)) == 1
