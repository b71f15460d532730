"""The rows of one run, in blocks of a size."""

from collections.abc import Iterable, Iterator

import numpy as np

from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.disk.recovery import mark_truncated
from porl_ros.replay.reading.follow import Chunk, RunTail
from porl_ros.replay.reading.local import LocalRun
from porl_ros.replay.schema import Records, RunIdentity, join


def read_run(folder: RunFolder, identity: RunIdentity) -> Iterator[Chunk]:
    """Every row of a run that is there now, in order; what cannot be read is logged."""
    tail = RunTail(LocalRun(folder, identity))
    try:
        yield from tail.poll()
    finally:
        tail.close()


def read_blocks(folder: RunFolder, identity: RunIdentity, size: int) -> Iterator[Records]:
    """The rows of a run in records of `size`; fewer before rows that are lost, and at the end.

    The end of an episode comes with its last row, and marks it. An episode that still runs is
    truncated where the run ends for now, as if its writer had ended.
    """
    return regroup(read_run(folder, identity), size)


def regroup(chunks: Iterable[Chunk], size: int) -> Iterator[Records]:
    """`read_blocks` of these chunks."""
    final, pending = 0, None
    for chunk in chunks:
        added = Records(chunk.first_row, final, chunk.rows, chunk.finals)
        final = added.next_final
        if pending and pending.next_row != added.first_row:  # rows between them are lost
            yield mark_truncated(pending, over=False)
            pending = None
        pending = join([pending, added]) if pending else added
        # One row more than is taken: the end of the last one's episode has come then, too
        while len(pending.rows) > size:
            taken, pending = _split(pending, size)
            yield mark_truncated(taken, over=False)
    if pending and len(pending.rows):
        yield mark_truncated(pending, over=True)


def _split(records: Records, rows: int) -> tuple[Records, Records]:
    row = records.first_row + rows
    finals = int(np.searchsorted(records.finals["row"], row))
    head = records._replace(rows=records.rows[:rows], finals=records.finals[:finals])
    return head, records.since(row, records.first_final + finals)
