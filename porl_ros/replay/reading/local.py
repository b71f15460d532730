"""A store in a folder, as a reader sees it: which runs there are, and what of each can be read.

Nothing here waits for a writer, or makes one wait.
"""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from porl_ros.replay.disk.arrays import read_attributes
from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.disk.layout import ATTRIBUTE, RunFolder, names_in, read_schema
from porl_ros.replay.disk.retention import retained_row
from porl_ros.replay.disk.segment import load_segment, reading
from porl_ros.replay.errors import CorruptSegment, StoreUnreachable
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity

SETTLED = 100_000_000  # ns after which a folder's time stamp shows any further change
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # say nothing about what was to be read


class FolderWatch:
    """Tells whether a folder changed since the last call, for the price of a stat."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._seen: tuple[int, int] | None = None

    def changed(self) -> bool:
        try:
            status = os.stat(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            self._seen = None
            return True
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._seen:
            return False
        # A second change within the same clock tick would leave the same stamp: look again soon
        settled = abs(time.time_ns() - status.st_mtime_ns) > SETTLED
        self._seen = stamp if settled else None
        return True

    def new_names(self) -> list[str]:
        """What lies in the folder, sorted, if that changed since the last call; else nothing."""
        if not self.changed():
            return []
        try:
            return names_in(self._folder)
        except OSError:
            self._seen = None
            raise


class LocalStore:
    """The store in a folder. One thread."""

    def __init__(self, path: Path):
        self.path = path
        self._watch = FolderWatch(path / "writers")
        self._robots: dict[str, FolderWatch] = {}

    def __str__(self) -> str:
        return str(self.path)

    def schema(self) -> ReplaySchema:
        """Raises StoreMissing, StoreFormatError or NewerFormat."""
        return read_schema(self.path)

    def is_there(self) -> bool:
        return (self.path / "writers").is_dir()

    def new_runs(self) -> Iterator[tuple[str, str]]:
        """(robot, run) of those that were added, and of others; a stat a robot if none was.
        Raises StoreUnreachable; those that came before are not told again."""
        with _shortage_told(self.path):
            for robot in self._watch.new_names():
                folder = self.path / "writers" / robot
                self._robots.setdefault(robot, FolderWatch(folder))
            for robot, watch in self._robots.items():
                for run in watch.new_names():
                    yield robot, run

    def run(self, identity: RunIdentity) -> "LocalRun":
        return LocalRun(RunFolder(self.path, identity.robot, identity.run), identity)


class LocalRun:
    """The segments and journals of a run in a folder. One thread."""

    def __init__(self, folder: RunFolder, identity: RunIdentity):
        self.identity = identity
        self._folder = folder
        self._watch = FolderWatch(folder.journal)

    def changed(self) -> bool:
        """Whether `sources` may be others than before; for the price of a stat."""
        return self._watch.changed()

    def sources(self) -> list[int]:
        """First rows of segments and journals, ascending. Raises StoreUnreachable."""
        with _shortage_told(self._folder.path):
            # Journals first: what is sealed between the two listings is then in one of them
            journals = set(self._folder.journal_rows())
            return sorted(journals.union(self._folder.segment_rows()))

    def load(self, first_row: int) -> Records:
        """A whole segment; CorruptSegment, StoreUnreachable, or FileNotFoundError if it is not
        there."""
        with _shortage_told(self._folder.path):
            try:
                return load_segment(self._folder, self.identity, first_row)
            except CorruptSegment as error:
                if not self._folder.segment(first_row).exists():  # dropped while it was opened
                    raise FileNotFoundError(str(error)) from error
                if isinstance(error.__cause__, OSError) and error.__cause__.errno in SHORTAGES:
                    raise error.__cause__ from None
                raise

    def journal(self, first_row: int) -> JournalTail:
        """Raises FileNotFoundError if it is not there, StoreUnreachable."""
        with _shortage_told(self._folder.path):
            return JournalTail(self._folder.wal(first_row), self.identity, first_row)

    def rows_in(self, first_row: int) -> int:
        """Rows of a segment, as it says; 0 of a journal, and of one that says nothing."""
        try:
            with reading(self._folder.segment(first_row)) as read:
                return int(read_attributes(read, "")[ATTRIBUTE]["rows"])
        except (OSError, ValueError, LookupError, TypeError):
            return 0

    def retained_row(self) -> int:
        """Rows before this one were dropped on purpose."""
        return retained_row(self._folder)


@contextlib.contextmanager
def _shortage_told(folder: Path) -> Iterator[None]:
    """A shortage of the system says nothing of the store: raise StoreUnreachable for it."""
    try:
        yield
    except OSError as error:
        if error.errno not in SHORTAGES:
            raise
        raise StoreUnreachable(
            f"store: {folder} cannot be read for now ({error.strerror}); close files or programs, "
            "or raise the limit (ulimit -n)"
        ) from error
