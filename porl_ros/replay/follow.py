"""Following one growing run: segments and journals in the order of their rows."""

import logging
import os
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros.replay.errors import CorruptSegment
from porl_ros.replay.journal import JournalTail
from porl_ros.replay.layout import RunFolder
from porl_ros.replay.schema import Records, RunIdentity
from porl_ros.replay.segment import load_segment

SETTLED = 100_000_000  # ns after which a folder's time stamp shows any further change
ATTEMPTS = 3  # a source can be sealed away between listing and opening; then look again

log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Consecutive rows of one run.

    `run` is "robot/run", `rows` has the schema's row_dtype and `finals` its final_dtype. A final
    comes with the row it closes, or in a later chunk. Rows lost to damage show as a jump in
    `first_row`; `rows` may be empty.
    """

    run: str
    first_row: int
    rows: np.ndarray
    finals: np.ndarray


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


class RunTail:
    """A cursor in one run: every row once, in order. One thread; takes no lock."""

    def __init__(self, folder: RunFolder, identity: RunIdentity):
        self.faults: list[str] = []
        self._folder, self._identity = folder, identity
        self._watch = FolderWatch(folder.journal)
        self._sources: list[int] = []  # first rows of segments and journals, ascending
        self._source = -1  # the one that is open, or was read last
        self._journal: JournalTail | None = None
        self._row = self._final = 0  # numbers of what comes next
        self._ready: deque[Records] = deque()

    def poll(self, limit: int | None) -> list[Chunk]:
        """New rows, at most `limit`."""
        chunks: list[Chunk] = []
        if self._watch.changed():
            self._list()
        while limit is None or limit > 0:
            if not self._ready and not self._load():
                break
            records = self._take(limit)
            chunks.append(
                Chunk(self._identity.name, records.first_row, records.rows, records.finals)
            )
            limit = None if limit is None else limit - len(records.rows)
        return chunks

    def _take(self, limit: int | None) -> Records:
        records = self._ready.popleft()
        if limit is None or len(records.rows) <= limit:
            return records
        finals = int(np.searchsorted(records.finals["row"], records.first_row + limit))
        self._ready.appendleft(
            records.since(records.first_row + limit, records.first_final + finals)
        )
        return records._replace(rows=records.rows[:limit], finals=records.finals[:finals])

    def _load(self) -> bool:
        """Make the next records ready; False if there are none yet."""
        while (records := self._next_records()) is not None:
            fresh = records.since(self._row, self._final)
            self._row = max(self._row, records.next_row)
            self._final = max(self._final, records.next_final)
            if len(fresh.rows) or len(fresh.finals):
                self._ready.append(fresh)
                return True
        return False

    def _next_records(self) -> Records | None:
        """The next records in the order of sources, or None if they are not written yet.

        A journal is complete once a later source exists. So the listing must be older than the
        read that finds nothing more in it; a gap between sources must be seen in two listings.
        """
        confirmed = False
        for _ in range(ATTEMPTS):
            following = self._following()
            records = self._read_journal()
            if records is not None or following is None:
                return records
            if following > self._row and not confirmed:
                confirmed = True
                self._list()
                continue
            try:
                return self._open(following)
            except FileNotFoundError:
                self._list()
        return None

    def _read_journal(self) -> Records | None:
        records = self._journal.read() if self._journal else None
        if records is None and self._journal and self._journal.removed:
            self.close()
        return records

    def close(self) -> None:
        """Let go of the open journal, if there is one."""
        if self._journal:
            self._journal.close()
            self._journal = None

    def _list(self) -> None:
        # Journals first: what is sealed between the two listings is then in one of them
        sources = set(self._folder.journal_rows())
        self._sources = sorted(sources.union(self._folder.segment_rows()))

    def _following(self) -> int | None:
        return next((row for row in self._sources if row > self._source), None)

    def _open(self, first_row: int) -> Records | None:
        """Go on to the next source and read it. FileNotFoundError: it is not there any more."""
        records, journal = self._nothing(first_row), None
        try:
            records = load_segment(self._folder, self._identity, first_row)
        except (CorruptSegment, FileNotFoundError) as error:
            journal = self._open_journal(first_row, error)
            if journal:
                records = journal.read() or records
        if first_row > self._row:
            self._report(f"rows {self._row} to {first_row - 1} of {self._identity.name} are lost")
        self.close()
        self._source, self._journal = first_row, journal
        return records

    def _open_journal(self, first_row: int, why: Exception) -> JournalTail | None:
        try:
            return JournalTail(self._folder.wal(first_row), self._identity, first_row)
        except FileNotFoundError:
            if not isinstance(why, CorruptSegment):
                raise
            self._report(str(why))
            return None

    def _nothing(self, first_row: int) -> Records:
        schema = self._identity.schema
        rows, finals = np.empty(0, schema.row_dtype), np.empty(0, schema.final_dtype)
        return Records(first_row, self._final, rows, finals)

    def _report(self, fault: str) -> None:
        log.error("replay: %s", fault)
        self.faults.append(fault)
