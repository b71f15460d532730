"""Checks a run: every checksum, every row number, whose it is. Nothing is changed by looking.

A fault is something that a sound run does not have. What a crash, a repair or retention leaves
behind as it should is a note.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from porl_ros.replay.disk.frames import is_whole
from porl_ros.replay.disk.images import sources_of
from porl_ros.replay.disk.layout import RunFolder, read_schema
from porl_ros.replay.disk.losses import LOST, Span, read_losses
from porl_ros.replay.disk.recovery import read_journal
from porl_ros.replay.disk.retention import RETAINED, retained_row
from porl_ros.replay.disk.segment import load_segment
from porl_ros.replay.errors import CorruptSegment, DamagedStore
from porl_ros.replay.reading.local import LocalRun
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity
from porl_ros.replay.tools.runs import being_written
from porl_ros.robot.contract import contract_hash

ATTEMPTS = 3  # a writer may seal a journal while it is looked at; then look again


@dataclass
class RunCheck:
    """What is in a run, and what is wrong with it; faults and notes are sentences."""

    run: str  # "robot/run"
    writing: bool  # a writer holds it
    rows: int = 0  # that can be read
    segments: int = 0
    journals: dict[int, int] = field(default_factory=dict)  # rows of each, by its first row
    damaged: list[Path] = field(default_factory=list)  # what a repair sets aside
    gaps: list[Span] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)  # faults of images; their rows are sound
    notes: list[str] = field(default_factory=list)


def check_root(store: Path) -> tuple[ReplaySchema, list[str]]:
    """The schema of a store, and what is wrong with it. Raises StoreFormatError, NewerFormat."""
    schema = read_schema(store)
    faults = []
    if schema.contract and contract_hash(schema.contract) != schema.contract_hash:
        faults.append(
            f"contract_hash: {store / 'zarr.json'} holds a contract that has another hash; restore "
            "it from another copy of this store"
        )
    return schema, faults


def check_run(
    folder: RunFolder, identity: RunIdentity, done: Callable[[], None] = lambda: None
) -> RunCheck:
    """Check one run, whether it is being written or not; `done` is called after each source.

    Raises OSError if a file cannot be read.
    """
    writing = being_written(folder)
    for _ in range(ATTEMPTS - 1):
        try:
            return examine(folder, identity, writing, done)
        except FileNotFoundError:
            continue
    return examine(folder, identity, writing, done)


def examine(
    folder: RunFolder, identity: RunIdentity, writing: bool, done: Callable[[], None] = lambda: None
) -> RunCheck:
    """`check_run` for who knows whether the run is written. Raises FileNotFoundError if a journal
    was sealed meanwhile."""
    return _RunChecker(folder, identity, writing).check(done)


def require_sound(folder: RunFolder, identity: RunIdentity) -> None:
    """Raises DamagedStore unless a check of the run finds no fault."""
    faults = check_run(folder, identity).faults
    if faults:
        raise DamagedStore(
            f"{faults[0]} (faults in this run: {len(faults)}); put the store in order first, so "
            "that a copy does not hide what is lost"
        )


def damaged_images(folder: RunFolder, identity: RunIdentity, records: Records) -> list[int]:
    """Rows of which an image is there no more, or not as it was."""
    if not identity.schema.images:
        return []
    sources = sources_of(folder, identity, records.first_row, len(records.rows))
    return [
        int(frame["row"])
        for found, payload in sources
        for index, frame in enumerate(found.frames)
        if not is_whole(frame, payload(index))
    ]


class _RunChecker:
    """One look at one run, from its first row to its last."""

    def __init__(self, folder: RunFolder, identity: RunIdentity, writing: bool):
        self._folder, self._identity = folder, identity
        self._found = RunCheck(identity.name, writing)
        self._retained = self._row = retained_row(folder)  # `_row`: of what comes next
        self._final: int | None = None if self._retained else 0  # None: cannot be known

    def check(self, done: Callable[[], None]) -> RunCheck:
        sources = LocalRun(self._folder, self._identity).sources()
        for first_row in sources:
            if first_row < self._retained:
                self._note(f"{first_row:012d}: dropped on purpose, and not gone yet")
                continue
            records = self._read(first_row, newest=first_row == sources[-1])
            if records:
                self._place(records)
                self._look_at_images(records)
            done()
        self._judge_gaps()
        self._look_around()
        return self._found

    def _read(self, first_row: int, newest: bool) -> Records | None:
        try:
            records = load_segment(self._folder, self._identity, first_row)
            self._found.segments += 1
            return records
        except FileNotFoundError:
            return self._read_journal(first_row, newest)
        except CorruptSegment as error:
            self._damage(self._folder.segment(first_row), str(error))
        waiting = self._folder.wal(first_row).exists()
        return self._read_journal(first_row, newest) if waiting else None

    def _read_journal(self, first_row: int, newest: bool) -> Records | None:
        path = self._folder.wal(first_row)
        records, damaged = read_journal(path, self._identity, first_row, newest)
        rows = self._found.journals[first_row] = len(records.rows) if records else 0
        if damaged:
            self._damage(path, f"journal: {path} is damaged after {rows} good rows")
        return records

    def _place(self, records: Records) -> None:
        """See that these rows continue those before."""
        if records.first_row > self._row:
            self._found.gaps.append(Span(self._row, records.first_row - 1))
        elif records.first_row < self._row:
            self._fault(f"{Span(records.first_row, self._row - 1)} are there twice; remove one")
        elif self._final not in (None, records.first_final):
            self._fault(f"ends of episodes are missing before row {records.first_row}")
        self._found.rows += max(0, records.next_row - max(self._row, records.first_row))
        self._row, self._final = max(self._row, records.next_row), records.next_final

    def _look_at_images(self, records: Records) -> None:
        rows = sorted(set(damaged_images(self._folder, self._identity, records)))
        if rows:
            self._found.images.append(
                f"{self._identity.name}: images of {len(rows)} rows from {rows[0]} to {rows[-1]} "
                "are damaged; restore them from a copy, or do without: readers leave them out"
            )

    def _judge_gaps(self) -> None:
        known = read_losses(self._folder)
        for gap in self._found.gaps:
            if any(span.first <= gap.first and gap.last <= span.last for span in known):
                self._note(f"{gap} are lost, as is on record")
            else:
                self._fault(
                    f"{gap} are missing; restore their segment from a copy, or put the loss on "
                    "record with `porl replay repair`"
                )

    def _look_around(self) -> None:
        run, folder = self._folder.path, self._folder
        if (run / RETAINED).exists() and not self._retained:
            self._fault(f"{run / RETAINED} cannot be understood; restore it from a copy")
        rows = sum(self._found.journals.values())
        if self._found.journals and not self._found.writing:
            self._note(
                f"{rows} rows wait in a journal whose writer has ended; the robot's next writer "
                "seals them, or `porl replay repair`"
            )
        known = {folder.segments, folder.journal, folder.lock, run / RETAINED, run / LOST}
        known |= {folder.segment(row) for row in folder.segment_rows()}
        for row in folder.journal_rows():
            known |= {folder.wal(row), folder.heap(row)}
        for place in (run, folder.segments, folder.journal):
            for path in sorted(set(place.iterdir() if place.is_dir() else ()) - known):
                self._note(f"{path.relative_to(run)} {_explain(path)}")

    def _damage(self, path: Path, what: str) -> None:
        self._found.damaged.append(path)
        self._fault(f"{what}; `porl replay repair` sets it aside")

    def _fault(self, text: str) -> None:
        self._found.faults.append(f"{self._identity.name}: {text}")

    def _note(self, text: str) -> None:
        self._found.notes.append(f"{self._identity.name}: {text}")


def _explain(path: Path) -> str:
    if path.suffix == ".damaged":
        return "was set aside as damaged; it is yours to examine or delete"
    if path.suffix == ".tmp":
        return "was left by a writer that was cut short; the robot's next writer clears it away"
    return "is not part of a run, and is left alone"
