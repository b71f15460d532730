"""Follows a store while robots write it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from porl_ros.replay.disk.layout import mismatch
from porl_ros.replay.errors import RowsGone, StoreMissing, StoreUnreachable
from porl_ros.replay.reading.ahead import THREADS, ReadAhead
from porl_ros.replay.reading.follow import Chunk, Position, RunTail
from porl_ros.replay.reading.local import LocalStore
from porl_ros.replay.reading.remote import RemoteStore
from porl_ros.replay.schema import ReplaySchema, RunIdentity
from porl_ros.robot.contract import first_difference

__all__ = ["Chunk", "ReplayReader", "read_store"]

log = logging.getLogger(__name__)


class ReplayReader:
    """Follows any number of growing runs. Call it from one thread.

    Never waits for a writer, and never makes one wait. A row is delivered once, in order within its
    run, and only if the block or segment that holds it passed its checksum. What is damaged is left
    out, logged, and named in `faults`; the runs go on after it.
    """

    def __init__(
        self,
        store: Path | str | RemoteStore,
        contract_hash: str | None = None,
        contract: dict | None = None,
        *,
        newest: int | None = None,
        cursor: Mapping[str, Sequence[int]] | None = None,
    ):
        """`store`: a folder, or the URL of a copy (`s3://`, `https://`, ...), of which sealed
        segments are read. `newest`: leave out what is older than that many rows (see `skipped`).
        `cursor`: what an earlier reader's `cursor` returned, from where its runs go on.

        Raises StoreMissing (also a StoreFormatError), StoreFormatError, NewerFormat, and
        ContractMismatch if `contract_hash` is given and the store has another; with the `contract`
        too, the error names the part of it that differs. For a URL RemoteNotInstalled and
        StoreUnreachable, too.
        """
        if isinstance(store, str) and "://" in store:
            store = RemoteStore(store)
        self._store = store if isinstance(store, RemoteStore) else LocalStore(Path(store))
        self._contract_hash, self._contract = contract_hash, contract
        self._cursor = {run: Position(*map(int, row)) for run, row in (cursor or {}).items()}
        self.rows_read = 0
        self._robots: dict[str, list[RunTail]] = {}  # their runs in the order of names
        self._runs: dict[str, RunTail] = {}
        self._pool = ThreadPoolExecutor(THREADS, "replay-read")  # idle unless there is a backlog
        self._vanished = False
        self._turn = 0  # which robot the next poll begins with
        self.schema = self._verify()
        if newest is not None:
            self._skip_to(newest)

    def _verify(self) -> ReplaySchema:
        schema = self._store.schema()
        if self._contract_hash not in (None, schema.contract_hash):
            where = first_difference(self._contract, schema.contract) if self._contract else ""
            ours, theirs = self._contract_hash, schema.contract_hash
            raise mismatch(self._store, "contract_hash", theirs, ours, where)
        return schema

    def poll(self, limit: int | None = None) -> list[Chunk]:
        """Rows new since the last poll, at most `limit`; a stat or two a run if there are none.

        A robot's runs come one after the other, in the order of their names. A store that vanishes
        yields nothing until it is back. Raises StoreFormatError or ContractMismatch if what comes
        back is another store; StoreUnreachable when it cannot be read for now: poll again.
        """
        self._discover()
        robots, chunks, left = list(self._robots.values()), [], limit
        for offset in range(len(robots)):
            for tail in robots[(self._turn + offset) % len(robots)]:
                found = self._poll(tail, left, raising=not chunks)
                chunks += found
                if left is not None:
                    left -= sum(len(chunk.rows) for chunk in found)
                    if left <= 0:
                        break
            if left is not None and left <= 0:  # the others first next time, so that none starves
                self._turn = (self._turn + offset + 1) % len(robots)
                break
        self.rows_read += sum(len(chunk.rows) for chunk in chunks)
        return chunks

    def _poll(self, tail: RunTail, limit: int | None, raising: bool) -> list[Chunk]:
        chunks: list[Chunk] = []
        try:
            chunks.extend(tail.poll(limit))
        except StoreUnreachable:
            if raising and not chunks:
                raise
        return chunks

    def replay(self, run: str, first_row: int, next_row: int, final_row: int) -> Iterator[Chunk]:
        """Rows `first_row` up to `next_row` of a run once more, with those finals of rows before
        `final_row` that have not come with earlier ones; polling goes on after them.

        For ReplayMemory.load_state_dict. Raises RowsGone if there is no such run.
        """
        self._discover()
        if run not in self._runs:
            raise RowsGone(f"run: {self._store} has no {run} any more; begin with a new memory")
        tail = self._runs[run]
        if tail.position.row != first_row:
            tail.seek(Position(first_row, first_row))
        for chunk in tail.read_to(Position(next_row, final_row)):
            self.rows_read += len(chunk.rows)
            yield chunk

    def cursor(self) -> dict[str, tuple[int, int]]:
        """How far each run was read: number of the next row, and of the next one whose final can
        come. JSON-able."""
        return {name: tuple(tail.position) for name, tail in self._runs.items()}

    def runs(self) -> list[str]:
        """Every run there is, as "robot/run", sorted."""
        self._discover()
        return sorted(self._runs)

    @property
    def faults(self) -> list[str]:
        """What could not be read, a sentence each."""
        return [fault for tail in self._runs.values() for fault in tail.faults]

    @property
    def dropped(self) -> int:
        """Rows that a retention dropped before they were read."""
        return sum(tail.dropped for tail in self._runs.values())

    @property
    def skipped(self) -> int:
        """Rows that `newest` left out."""
        return sum(tail.skipped for tail in self._runs.values())

    def close(self) -> None:
        """Close the journals that are open (one for each running run), and end the threads that
        read ahead. Harmless when repeated; the reader cannot be polled any more."""
        self._pool.shutdown(cancel_futures=True)
        for tail in self._runs.values():
            tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _skip_to(self, newest: int) -> None:
        """Names of runs sort by when they began, so the last ones hold the newest rows."""
        self._discover()
        runs = [tail for name, tail in self._runs.items() if name not in self._cursor]
        left = newest
        for tail in sorted(runs, key=lambda tail: tail.identity.run, reverse=True):
            left -= tail.skip(max(0, left))
        if self.skipped:
            log.info("replay: %d older rows of %s are skipped", self.skipped, self._store)

    def _discover(self) -> None:
        if not self._is_there():
            return
        for robot, run in self._store.new_runs():
            name = f"{robot}/{run}"
            if name in self._runs:
                continue
            source = self._store.run(RunIdentity(self.schema, robot, run))
            tail = RunTail(ReadAhead(source, self._pool))
            if name in self._cursor:
                tail.seek(self._cursor[name])
            self._runs[name] = tail
            tails = self._robots.setdefault(robot, [])
            tails.append(tail)
            tails.sort(key=lambda tail: tail.identity.run)

    def _is_there(self) -> bool:
        if self._store.is_there():
            if self._vanished:
                try:
                    self.schema = self._verify()
                except StoreMissing:  # being put back, its description not yet
                    return False
                self._vanished = False
            return True
        if not self._vanished:
            log.warning("replay: the store %s has vanished; waiting for it", self._store)
            self._vanished = True
        return False


def read_store(
    store: Path | str, contract_hash: str | None = None, contract: dict | None = None
) -> list[Chunk]:
    """Everything in a store, once, runs in the order of their names. Raises as ReplayReader."""
    chunks: list[Chunk] = []
    with ReplayReader(store, contract_hash, contract) as reader:
        while found := reader.poll():
            chunks += found
    return chunks
