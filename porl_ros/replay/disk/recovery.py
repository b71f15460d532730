"""From journal to segment: the same steps when a writer seals and when a crash is cleared up."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from porl_ros.replay.disk.frames import HeapPayloads
from porl_ros.replay.disk.journal import FILE_HEADER_SIZE, JournalTail, holds_block
from porl_ros.replay.disk.layout import (
    HEAP,
    RunFolder,
    drop_temporaries,
    names_in,
    set_aside,
    sync_folder,
)
from porl_ros.replay.disk.segment import load_segment, write_segment
from porl_ros.replay.errors import CorruptSegment, RunLocked
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity

log = logging.getLogger(__name__)


@contextlib.contextmanager
def run_lock(folder: RunFolder) -> Iterator[None]:
    """Hold a run as its only writer; the system lets go when the process dies, however it dies.

    Raises RunLocked if another writer has it.
    """
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunLocked(
                f"run: {folder.path} is held by another writer; stop it, or leave `run` out to "
                "record a new run"
            ) from None
        yield
    finally:
        os.close(descriptor)


def recover_robot(store: Path, schema: ReplaySchema, robot: str) -> None:
    """Seal what this robot's dead writers left open. A run that cannot be recovered is left as
    it is, and reported: it must not stop a robot from recording the next one."""
    for run in names_in(store / "writers" / robot):
        folder = RunFolder(store, robot, run)
        if not folder.journal.is_dir():
            continue
        try:
            with run_lock(folder):
                recover_run(folder, RunIdentity(schema, robot, run))
        except RunLocked:
            continue
        except OSError as error:
            log.error("replay: run %s/%s stays unrecovered: %s", robot, run, error)


def recover_run(folder: RunFolder, identity: RunIdentity) -> None:
    """Seal every journal of a run that nobody writes; call with its lock held. Raises OSError."""
    drop_temporaries(folder.segments)
    for heap in folder.journal.glob(f"*{HEAP}"):  # a seal was cut short, or had not begun
        if not heap.with_suffix(".wal").exists():
            heap.unlink()
    sealed = max(folder.segment_rows(), default=-1)
    newest = over = True
    for first_row in reversed(folder.journal_rows()):
        if sealed > first_row:  # an earlier recovery was cut short
            newest = over = False
        rows = seal_journal(folder, identity, first_row, newest, over)
        newest, over = False, over and not rows


def seal_journal(
    folder: RunFolder, identity: RunIdentity, first_row: int, newest: bool, over: bool
) -> int:
    """Turn one journal, to which nobody writes any more, into a segment, and drop it; its rows.

    `newest`: its end may be torn (an older one was complete before the next was begun). `over`:
    no rows follow, so an episode still open was cut, and its last row is marked truncated. Raises
    OSError; the journal is then still there.
    """
    path = folder.wal(first_row)
    records, damaged = read_journal(path, identity, first_row, newest)
    rows = len(records.rows) if records else 0
    if records and not _is_sealed(folder, identity, records):
        damaged |= _seal(folder, identity, mark_truncated(records, over))
    if damaged:
        aside = set_aside(path).name
        log.error("replay: %s was damaged: %d rows kept, the file is now %s", path, rows, aside)
    else:
        path.unlink()
        sync_folder(path.parent)
    if identity.schema.images:
        _drop_heap(folder.heap(first_row), damaged)
    return rows


def _seal(folder: RunFolder, identity: RunIdentity, records: Records) -> bool:
    """Write the segment; whether an image was not as it had been written."""
    heap = folder.heap(records.first_row)
    with contextlib.closing(HeapPayloads(heap, records.frames)) as payload:
        write_segment(folder, identity, records, payload=payload)
    if payload.damaged:
        log.error("replay: %s was damaged: images of rows %s", heap, sorted(set(payload.damaged)))
    return bool(payload.damaged)


def _drop_heap(heap: Path, damaged: bool) -> None:
    """After its journal, without which nobody can tell what is in it."""
    if damaged and heap.exists():
        set_aside(heap)
    heap.unlink(missing_ok=True)


def read_journal(
    path: Path, identity: RunIdentity, first_row: int, newest: bool
) -> tuple[Records | None, bool]:
    """The valid prefix (None if empty), and whether what follows is more than a torn end."""
    tail = JournalTail(path, identity, first_row)
    try:
        records, unread = tail.read(), tail.unread()
        torn = newest and not holds_block(unread, identity)
        if not tail.recognised:  # a crash can cut the header short, but nothing can follow that
            torn = newest and len(unread) <= FILE_HEADER_SIZE
        if unread and torn:
            log.info("replay: %s ends in %d torn bytes, dropped", path, len(unread))
        return records, bool(unread) and not torn
    finally:
        tail.close()


def _is_sealed(folder: RunFolder, identity: RunIdentity, records: Records) -> bool:
    """Whether a good segment holds these rows already (a crash came before its journal went)."""
    try:
        sealed = load_segment(folder, identity, records.first_row)
        if sealed.next_row >= records.next_row and sealed.next_final >= records.next_final:
            return True
        reason = "it is shorter than its journal"
    except FileNotFoundError:
        return False
    except CorruptSegment as error:
        reason = str(error)
    aside = set_aside(folder.segment(records.first_row))
    log.error("replay: segment %s set aside and sealed again: %s", aside, reason)
    return False


def mark_truncated(records: Records, over: bool) -> Records:
    """Set `truncated` on rows whose episode was closed later, and on those whose never was."""
    rows = records.rows.copy()
    closed = records.finals["row"][records.finals["truncated"] != 0] - records.first_row
    rows["truncated"][closed[(closed >= 0) & (closed < len(rows))]] = 1
    cut = np.append(rows["episode"][:-1] != rows["episode"][1:], over)[: len(rows)]
    rows["truncated"][cut & (rows["terminated"] == 0)] = 1
    return records._replace(rows=rows)
