"""Rows joined with what followed them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from porl_ros.replay.schema import Records


class Transitions(NamedTuple):
    """Consecutive rows of a run whose next observations are known, except for the `left_out`."""

    rows: np.ndarray  # (t,) of the schema's row_dtype
    numbers: np.ndarray  # (t,) in the run
    next_observation: np.ndarray  # (t, n) float32
    left_out: int  # rows after which nothing is known: an episode was cut, or goes on


def transitions(run: Iterable[Records]) -> Iterator[Transitions]:
    """The transitions of one run, given its records in order (finals with the rows they close)."""
    held: Records | None = None  # the last row, until it is known what follows
    for records in run:
        if held is not None:
            if held.next_row == records.first_row:
                records = _prepend(held, records)
            else:  # rows in between are lost
                yield _known(held)
        last = len(records.rows) - 1
        yield _known(records, last)
        held = records.since(records.first_row + last, records.first_final)
    if held is not None:
        yield _known(held)


def _prepend(held: Records, records: Records) -> Records:
    rows = np.concatenate([held.rows, records.rows])
    finals = np.concatenate([held.finals, records.finals])
    return Records(held.first_row, held.first_final, rows, finals)


def _known(records: Records, count: int | None = None) -> Transitions:
    """Of the first `count` rows (left out: all) those whose next observation is there."""
    rows, size = records.rows, len(records.rows)
    following = np.zeros_like(rows["observation"])
    following[:-1] = rows["observation"][1:]
    known = np.zeros(size, bool)
    known[:-1] = rows["episode"][1:] == rows["episode"][:-1]
    ends = records.finals["row"] - records.first_row
    here = (ends >= 0) & (ends < size)
    following[ends[here]] = records.finals["observation"][here]
    known[ends[here]] = True
    known = known[:count]
    chosen = np.flatnonzero(known)
    return Transitions(
        rows[chosen], records.first_row + chosen, following[chosen], int((~known).sum())
    )
