"""Follows a store while robots write it."""

import logging
from pathlib import Path
from typing import Self

from porl_ros.replay.errors import StoreMissing
from porl_ros.replay.follow import Chunk, FolderWatch, RunTail
from porl_ros.replay.layout import RunFolder, mismatch, names_in, read_schema
from porl_ros.replay.schema import ReplaySchema, RunIdentity
from porl_ros.robot.contract import first_difference

__all__ = ["Chunk", "ReplayReader", "read_store"]

log = logging.getLogger(__name__)


class ReplayReader:
    """Follows any number of growing runs; one thread.

    Takes no locks and never blocks a writer. A row is delivered once, in order within its run, and
    only if the block or segment that holds it passed its checksum. What is damaged is left out,
    logged, and named in `faults`; the runs go on after it.
    """

    def __init__(self, store: Path, contract_hash: str | None = None, contract: dict | None = None):
        """Raises StoreMissing (also a StoreFormatError), StoreFormatError, NewerFormat, and
        ContractMismatch if `contract_hash` is given and the store has another; with the
        `contract` too, the error names the part of it that differs."""
        self.store, self._contract_hash = Path(store), contract_hash
        self._contract = contract
        self.rows_read = 0
        self._tails: dict[tuple[str, str], RunTail] = {}
        self._robots: dict[str, FolderWatch] = {}
        self._watch = FolderWatch(self.store / "writers")
        self._vanished = False
        self._first = 0  # which run the next poll begins with
        self.schema = self._verify()

    def _verify(self) -> ReplaySchema:
        schema = read_schema(self.store)
        if self._contract_hash not in (None, schema.contract_hash):
            where = first_difference(self._contract, schema.contract) if self._contract else ""
            ours, theirs = self._contract_hash, schema.contract_hash
            raise mismatch(self.store, "contract_hash", theirs, ours, where)
        return schema

    def poll(self, limit: int | None = None) -> list[Chunk]:
        """Rows new since the last poll, at most `limit`; a stat or two a run if there are none.

        A store that vanishes yields nothing until it is back. Raises StoreFormatError or
        ContractMismatch if what comes back is another store.
        """
        self._discover()
        tails = list(self._tails.values())
        chunks: list[Chunk] = []
        left = limit
        for offset in range(len(tails)):
            index = (self._first + offset) % len(tails)
            found = tails[index].poll(left)
            chunks += found
            if left is not None:
                left -= sum(len(chunk.rows) for chunk in found)
                if left <= 0:  # the others first next time, so that one run cannot starve them
                    self._first = (index + 1) % len(tails)
                    break
        self.rows_read += sum(len(chunk.rows) for chunk in chunks)
        return chunks

    def runs(self) -> list[str]:
        """Every run there is, as "robot/run", sorted."""
        self._discover()
        return sorted(f"{robot}/{run}" for robot, run in self._tails)

    @property
    def faults(self) -> list[str]:
        """What could not be read, a sentence each."""
        return [fault for tail in self._tails.values() for fault in tail.faults]

    def close(self) -> None:
        """Close the journals that are open (one for each running run). Harmless when repeated."""
        for tail in self._tails.values():
            tail.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _discover(self) -> None:
        if self._watch.changed():
            if not self._is_there():
                return
            for robot in names_in(self.store / "writers"):
                folder = self.store / "writers" / robot
                self._robots.setdefault(robot, FolderWatch(folder))
        for robot, watch in self._robots.items():
            if watch.changed():
                self._add_runs(robot)

    def _add_runs(self, robot: str) -> None:
        for run in names_in(self.store / "writers" / robot):
            if (robot, run) not in self._tails:
                identity = RunIdentity(self.schema, robot, run)
                self._tails[robot, run] = RunTail(RunFolder(self.store, robot, run), identity)

    def _is_there(self) -> bool:
        if (self.store / "writers").is_dir():
            if self._vanished:
                try:
                    self.schema = self._verify()
                except StoreMissing:  # being put back, its description not yet
                    return False
                self._vanished = False
            return True
        if not self._vanished:
            log.warning("replay: the store %s has vanished; waiting for it", self.store)
            self._vanished = True
        return False


def read_store(
    store: Path, contract_hash: str | None = None, contract: dict | None = None
) -> list[Chunk]:
    """Everything in a store, once, runs in the order of their names. Raises as ReplayReader."""
    with ReplayReader(store, contract_hash, contract) as reader:
        return reader.poll()
