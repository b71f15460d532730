"""The runs of a store, for tools: which there are, who writes them, and their rows."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from porl_ros.replay.disk.arrays import read_attributes
from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.disk.layout import ATTRIBUTE, RunFolder, folder_lock, names_in
from porl_ros.replay.disk.retention import size_of
from porl_ros.replay.disk.segment import SegmentInfo
from porl_ros.replay.reading.local import LocalRun
from porl_ros.replay.schema import ReplaySchema, RunIdentity

Run = tuple[RunFolder, RunIdentity]


def runs_of(store: Path, schema: ReplaySchema) -> list[Run]:
    """Every run in a store, sorted by robot and name."""
    return [(RunFolder(store, *run), RunIdentity(schema, *run)) for run in _names(store)]


def _names(store: Path) -> list[tuple[str, str]]:
    writers = Path(store) / "writers"
    return [
        (robot, run)
        for robot in names_in(writers)
        for run in names_in(writers / robot)
        if (writers / robot / run).is_dir()
    ]


def being_written(folder: RunFolder) -> bool:
    """Whether a writer holds the run. One that is about to begin is not disturbed."""
    with folder_lock(folder.path.parent):  # which a writer holds until it has its run
        try:
            descriptor = os.open(folder.lock, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


@dataclass
class Overview:
    """What a run says of itself, which is quick to learn and proves nothing."""

    writing: bool  # a writer holds it
    size: int  # bytes
    rows: int = 0
    episodes: int = 0  # that were ended in order
    journals: int = 0
    unreadable: int = 0  # segments
    written: float = 0.0  # s, system clock; 0.0: never

    @property
    def state(self) -> str:
        """One of writing, damaged, needs recovery (its writer is gone), closed."""
        if self.unreadable:
            return "damaged"
        if self.writing:
            return "writing"
        return "needs recovery" if self.journals else "closed"


def overview(folder: RunFolder, identity: RunIdentity) -> Overview:
    """Count what the segments and journals of a run say they hold. Raises OSError."""
    found = Overview(being_written(folder), size_of(folder.path))
    for first_row in LocalRun(folder, identity).sources():
        path, wal = folder.segment(first_row), folder.wal(first_row)
        try:
            sealed = path.is_dir()
            rows, finals = _described(path) if sealed else _waiting(wal, identity, first_row)
            found.journals += not sealed
            found.written = max(found.written, (path if sealed else wal).stat().st_mtime)
        except FileNotFoundError:  # sealed or dropped meanwhile
            continue
        except ValueError:
            found.unreadable += 1
            continue
        found.rows += rows
        found.episodes += finals
    return found


def _described(path: Path) -> tuple[int, int]:
    """Rows and finals of a segment, as its attributes say. Raises ValueError."""

    def read(name: str, limit: int) -> bytes:
        with open(path / name, "rb") as file:
            return file.read(limit)

    try:
        info = SegmentInfo.model_validate(read_attributes(read, "")[ATTRIBUTE])
    except (LookupError, TypeError, FileNotFoundError) as error:
        raise ValueError(f"{path}: {error}") from error
    return info.rows, info.finals


def _waiting(path: Path, identity: RunIdentity, first_row: int) -> tuple[int, int]:
    """Rows and finals of a journal."""
    tail = JournalTail(path, identity, first_row)
    try:
        records = tail.read()
        return (len(records.rows), len(records.finals)) if records else (0, 0)
    finally:
        tail.close()
