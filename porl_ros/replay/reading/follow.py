"""Following one growing run: segments and journals in the order of their rows."""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.errors import CorruptSegment, NotYetWhole
from porl_ros.replay.schema import Records, RunIdentity

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


class Position(NamedTuple):
    """How far a run was read: number of the next row, and of the next one whose final can come."""

    row: int
    final_row: int


class RunSource(Protocol):
    """Where the segments and journals of a run are; see `LocalRun`, `RemoteRun`."""

    identity: RunIdentity

    def changed(self) -> bool: ...
    def sources(self) -> list[int]: ...
    def load(self, first_row: int) -> Records: ...
    def journal(self, first_row: int) -> JournalTail: ...
    def rows_in(self, first_row: int) -> int: ...
    def retained_row(self) -> int: ...


class RunTail:
    """A cursor in one run: every row once, in order. One thread; takes no lock.

    `faults` says what could not be read; `dropped` counts rows that a retention dropped before they
    were read, `skipped` those that `skip` left out.
    """

    def __init__(self, source: RunSource):
        self.dropped = self.skipped = 0
        self.position = Position(0, 0)  # of what was delivered
        self._faults: list[str] = []
        self._waiting = ""  # for what, if something is there but not whole yet
        self._run = source
        self._stale = False  # whether what is listed is known to be old
        self._sources: list[int] = []  # first rows of segments and journals, ascending
        self._source = -1  # the one that is open, or was read last
        self._journal: JournalTail | None = None
        self._pending: Chunk | None = None  # read, and not delivered yet

    @property
    def identity(self) -> RunIdentity:
        return self._run.identity

    @property
    def faults(self) -> list[str]:
        return self._faults + ([self._waiting] if self._waiting else [])

    def seek(self, position: Position) -> None:
        """Go on from here."""
        self.close()
        self.position, self._pending = position, None
        self._source, self._stale = -1, True

    def skip(self, keep: int) -> int:
        """Begin so late that the newest `keep` rows still come; how many of the rows that are
        there now will come.

        Only whole segments are left out, and a journal counts for nothing: it is about opening
        quickly, so no rows are read to find out.
        """
        self._list()
        if not self._sources:
            return 0
        oldest, newest = self._sources[0], self._sources[-1]
        end = newest + self._run.rows_in(newest)
        begin = max(row for row in (*self._sources, end) if row <= max(oldest, end - keep))
        self.position, self._source = Position(begin, begin), begin - 1
        self.skipped = begin - oldest
        return end - begin

    def poll(self, limit: int | None = None) -> Iterator[Chunk]:
        """New rows, at most `limit`. Raises StoreUnreachable; what came before is delivered."""
        self._refresh()
        while (limit is None or limit > 0) and (chunk := self._take(limit, None)):
            yield chunk
            limit = None if limit is None else limit - len(chunk.rows)

    def read_to(self, stop: Position) -> Iterator[Chunk]:
        """Rows and finals from `position` to `stop`, as far as they are there."""
        self._refresh()
        while self.position != stop and (chunk := self._take(None, stop)):
            yield chunk

    def _take(self, limit: int | None, stop: Position | None) -> Chunk | None:
        self._pending = self._pending or self._load()
        if self._pending is None:
            return None
        name, first, rows, finals = self._pending
        end = first + len(rows) if limit is None else min(first + len(rows), first + limit)
        final_row = end
        if stop:
            end, final_row = max(first, min(end, stop.row)), min(end, stop.final_row)
        count, closed = end - first, int(np.searchsorted(finals["row"], final_row))
        if not count and not closed:
            return None
        taken = Chunk(name, first, rows[:count], finals[:closed])
        rest = Chunk(name, end, rows[count:], finals[closed:])
        self._pending = rest if len(rest.rows) or len(rest.finals) else None
        finals_to = int(finals["row"][closed - 1]) + 1 if closed else 0
        self.position = Position(end, max(self.position.final_row, finals_to))
        return taken

    def _load(self) -> Chunk | None:
        """What comes next and is new; None if there is nothing yet."""
        while (records := self._next_records()) is not None:
            row, final_row = self.position
            first = max(row, records.first_row)
            rows = records.rows[first - records.first_row :]
            ends = records.finals["row"]
            finals = records.finals[(ends >= final_row) & (ends < records.next_row)]
            self.position = Position(first, final_row)
            if len(rows) or len(finals):
                return Chunk(self.identity.name, first, rows, finals)
        return None

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
            if following > self.position.row and not confirmed:
                confirmed = True
                self._list()
                continue
            try:
                return self._open(following)
            except NotYetWhole as error:
                self._waiting = str(error)
                return None
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

    def _refresh(self) -> None:
        self._stale = self._stale or self._run.changed()
        if self._stale:
            self._list()

    def _list(self) -> None:
        self._sources = self._run.sources()
        self._stale = False
        # After a `seek`, begin with the source before the one that holds the next row: the final of
        # the last row may be there. Else this says nothing new.
        before = bisect_left(self._sources, self.position.row)
        if before:
            self._source = max(self._source, self._sources[before - 1] - 1)

    def _following(self) -> int | None:
        at = bisect_right(self._sources, self._source)
        return self._sources[at] if at < len(self._sources) else None

    def _open(self, first_row: int) -> Records | None:
        """Go on to the next source and read it. FileNotFoundError: it is not there any more."""
        records, journal = self._nothing(first_row), None
        try:
            records = self._run.load(first_row)
        except (CorruptSegment, FileNotFoundError) as error:
            journal = self._open_journal(first_row, error)
            if journal:
                records = journal.read() or records
        self._tell_missing(self.position.row, first_row)
        self.close()
        self._source, self._journal, self._waiting = first_row, journal, ""
        return records

    def _open_journal(self, first_row: int, why: Exception) -> JournalTail | None:
        try:
            return self._run.journal(first_row)
        except FileNotFoundError:
            if not isinstance(why, CorruptSegment):
                raise
            self._report(str(why))
            return None

    def _nothing(self, first_row: int) -> Records:
        schema = self.identity.schema
        rows, finals = np.empty(0, schema.row_dtype), np.empty(0, schema.final_dtype)
        return Records(first_row, 0, rows, finals)

    def _tell_missing(self, first: int, end: int) -> None:
        """Rows `first` up to `end` are not there: dropped on purpose, or lost."""
        if first >= end:
            return
        name, kept = self.identity.name, min(end, max(first, self._run.retained_row()))
        if kept > first:
            self.dropped += kept - first
            log.info("replay: rows %d to %d of %s were dropped", first, kept - 1, name)
        if end > kept:
            self._report(f"rows {kept} to {end - 1} of {name} are lost")

    def _report(self, fault: str) -> None:
        log.error("replay: %s", fault)
        self._faults.append(fault)
