"""Transitions made up for the learner, as a store would deliver them."""

from collections.abc import Iterator

import numpy as np

from porl_ros.replay import Chunk, ReplaySchema

SCHEMA = ReplaySchema(
    contract_hash="made up", observation_names=("x", "y", "z"), action_names=("u", "v")
)
LENGTH = 5  # steps of an episode


def make_chunk(outcomes: list[bool], seed: int = 0) -> Chunk:
    """Episodes of random steps; True ends with reward 1, False is truncated."""
    rng, count = np.random.default_rng(seed), LENGTH * len(outcomes)
    rows = np.zeros(count, SCHEMA.row_dtype)
    rows["observation"] = rng.normal(size=(count, 3))
    rows["action"] = rng.uniform(-1, 1, (count, 2))
    rows["episode"] = np.arange(count) // LENGTH
    rows["step"] = np.arange(count) % LENGTH
    last = np.arange(LENGTH - 1, count, LENGTH)
    rows["reward"][last] = rows["terminated"][last] = outcomes
    rows["truncated"][last] = np.logical_not(outcomes)
    finals = np.zeros(len(last), SCHEMA.final_dtype)
    finals["row"], finals["truncated"] = last, rows["truncated"][last]
    finals["observation"] = rng.normal(size=(len(last), 3))
    return Chunk("arm/a", 0, rows, finals)


def split(chunk: Chunk, size: int) -> Iterator[Chunk]:
    """The same rows in chunks of `size`, each episode's end with its last row."""
    for first in range(0, len(chunk.rows), size):
        rows = chunk.rows[first : first + size]
        at = (chunk.finals["row"] >= first) & (chunk.finals["row"] < first + len(rows))
        yield Chunk(chunk.run, chunk.first_row + first, rows, chunk.finals[at])
