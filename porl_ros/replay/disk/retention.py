"""Limits on how much of a robot's past is kept: whole oldest segments are dropped.

What is dropped on purpose must not look like a loss, so `retained.json` in the run's folder says
from which row on the run is kept, and says so before the first file goes. A reader holds a shared
lock on a segment's folder while it reads it; a segment that is held stays until the next time.
"""

import contextlib
import fcntl
import heapq
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, PositiveFloat, PositiveInt

from porl_ros.configfile import StrictModel
from porl_ros.replay.disk.layout import RunFolder, folder_lock, names_in, replace_file, sync_folder

RETAINED = "retained.json"
LARGEST_RETAINED = 1 << 10  # bytes


class Retention(StrictModel):
    """What of a robot's sealed rows is kept. The newest segment of a run always is."""

    max_bytes: PositiveInt | None = Field(
        None, description="Keep at most this much in sealed segments, over all runs [bytes]."
    )
    max_age: PositiveFloat | None = Field(
        None, description="Keep segments for this long after they were sealed [s, system clock]."
    )


class StoredSegment(NamedTuple):
    """A sealed segment on disk."""

    run: str
    first_row: int
    next_row: int  # where the run's following segment begins
    bytes: int
    sealed: float  # s, system clock


def retained_row(folder: RunFolder) -> int:
    """The first row of a run that is kept; those before it were dropped on purpose.

    0 if none were, or if the file that says so cannot be understood: dropped rows then count as
    lost, which is told, and never the other way round.
    """

    def read() -> bytes:
        with open(folder.path / RETAINED, "rb") as file:
            return file.read(LARGEST_RETAINED)

    return parse_retained(read)


def parse_retained(read: Callable[[], bytes]) -> int:
    """`retained_row` of a run whose record is what `read` returns."""
    try:
        row = json.loads(read())["first_row"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return 0
    return row if type(row) is int and row > 0 else 0


def record_retained(folder: RunFolder, first_row: int) -> None:
    """Put on record that a run is kept from this row on. Raises OSError."""
    replace_file(folder.path / RETAINED, json.dumps({"first_row": first_row}))


class Pruner:
    """Keeps one robot within its limits. One thread, never the control or the flush thread.

    Segments do not change, so each is measured once.
    """

    def __init__(self, store: Path, robot: str, retention: Retention):
        self._store, self._robot, self._retention = Path(store), robot, retention
        self._measured: dict[Path, tuple[int, float]] = {}

    def apply(self) -> list[StoredSegment]:
        """Drop what is over the limits, oldest first; returns what was dropped. Raises OSError."""
        dropped: list[StoredSegment] = []
        held: set[str] = set()  # runs of which a reader holds the oldest segment
        for segment in self.plan():
            folder = RunFolder(self._store, self._robot, segment.run)
            if segment.run not in held and drop_segment(folder, segment):
                dropped.append(segment)
                self._measured.pop(folder.segment(segment.first_row))
            else:
                held.add(segment.run)
        return dropped

    def plan(self) -> list[StoredSegment]:
        """What is over the limits now, in the order in which it would be dropped."""
        if self._retention == Retention():
            return []
        runs = [self._segments(run) for run in names_in(self._store / "writers" / self._robot)]
        total = sum(segment.bytes for run in runs for segment in run)
        oldest_first = heapq.merge(*(run[:-1] for run in runs), key=lambda s: s.sealed)
        over: list[StoredSegment] = []
        now = time.time()
        for segment in oldest_first:
            if not self._is_over(total, now - segment.sealed):
                break
            over.append(segment)
            total -= segment.bytes
        return over

    def _is_over(self, total: int, age: float) -> bool:
        limits = self._retention
        too_old = limits.max_age is not None and age > limits.max_age
        return too_old or (limits.max_bytes is not None and total > limits.max_bytes)

    def _segments(self, run: str) -> list[StoredSegment]:
        folder = RunFolder(self._store, self._robot, run)
        rows = folder.segment_rows()
        found = []
        for first_row, next_row in zip(rows, [*rows, -1][1:], strict=True):
            with contextlib.suppress(FileNotFoundError):  # another writer of this robot dropped it
                size, sealed = self._measure(folder.segment(first_row))
                found.append(StoredSegment(run, first_row, next_row, size, sealed))
        return found

    def _measure(self, path: Path) -> tuple[int, float]:
        if path not in self._measured:
            sealed = path.stat().st_mtime
            self._measured[path] = (size_of(path), sealed)
        return self._measured[path]


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, files in os.walk(folder)
        for name in files
    )


def drop_segment(folder: RunFolder, segment: StoredSegment) -> bool:
    """Drop a run's oldest segment; False if a reader holds it or it is gone. Raises OSError."""
    path = folder.segment(segment.first_row)
    if folder.wal(segment.first_row).exists():
        return False  # a crash came before its journal went: a recovery would seal it again
    # The robot's folder is locked while runs are recovered, too
    with folder_lock(folder.path.parent), _alone_with(path) as alone:
        if not alone:
            return False
        record_retained(folder, segment.next_row)
        leftover = path.with_name(f".{path.name}.tmp")  # what a recovery clears away
        path.rename(leftover)
        sync_folder(folder.segments)
        shutil.rmtree(leftover)
    return True


@contextlib.contextmanager
def _alone_with(path: Path) -> Iterator[bool]:
    """Whether nobody reads a segment; while it is held, nobody begins to."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
