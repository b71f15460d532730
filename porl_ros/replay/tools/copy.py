"""Compact copies of stores: every run in large, compressed segments, proved row for row.

A copy is a store as any other. It appears under its name when it is complete, and not before.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from porl_ros.paths import require_empty_or_missing
from porl_ros.replay.disk.frames import Payload, is_whole
from porl_ros.replay.disk.images import sources_of
from porl_ros.replay.disk.layout import (
    RunFolder,
    create_store,
    make_folder,
    read_schema,
    require_same,
    sync_folder,
)
from porl_ros.replay.disk.losses import read_losses, record_losses
from porl_ros.replay.disk.recovery import mark_truncated
from porl_ros.replay.disk.retention import record_retained, retained_row
from porl_ros.replay.disk.segment import load_segment, write_segment
from porl_ros.replay.errors import CorruptSegment, RunExists, StoreNotWritable
from porl_ros.replay.reading.local import LocalRun
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity
from porl_ros.replay.tools.blocks import read_blocks
from porl_ros.replay.tools.check import damaged_images, require_sound
from porl_ros.replay.tools.compact import write_compact
from porl_ros.replay.tools.runs import Run, runs_of

SEGMENT_ROWS = 65_536
EVERYTHING = 1 << 62  # rows: more than any run has

Progress = Callable[[int], None]  # called with rows that are copied and proved


def copy_stores(
    sources: list[Path], out: Path, segment_rows: int = SEGMENT_ROWS,
    progress: Progress = lambda rows: None,
) -> int:  # fmt: skip
    """Copy every run of the stores into a new one, run names kept; returns the rows.

    Of a run that is being written, what is there now. Raises PorlError (there is something at
    `out`), StoreFormatError, NewerFormat, ContractMismatch, RunExists (two stores have a run of
    the same name), DamagedStore, CorruptSegment (of the copy), StoreNotWritable.
    """
    require_empty_or_missing(out, "store")
    schema = _common_schema(sources)
    runs = _distinct_runs(sources, schema)
    for run in runs:
        require_sound(*run)
    try:
        make_folder(out.parent.absolute())
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            new = Path(folder) / "new"
            create_store(new, schema)
            rows = sum(_copy_run(run, new, segment_rows, progress) for run in runs)
            new.rename(out)
            sync_folder(out.parent)
    except OSError as error:
        raise StoreNotWritable(
            f"store: {out} cannot be written ({error}); free the disk, or name another folder"
        ) from error
    return rows


def _common_schema(sources: list[Path]) -> ReplaySchema:
    schema = read_schema(sources[0])
    for source in sources[1:]:
        require_same(source, read_schema(source), schema)
    return schema


def _distinct_runs(sources: list[Path], schema: ReplaySchema) -> list[Run]:
    where: dict[str, Path] = {}
    runs = [(source, run) for source in sources for run in runs_of(source, schema)]
    for source, (_, identity) in runs:
        if identity.name in where:
            raise RunExists(
                f"run: {identity.name} is in {where[identity.name]} and in {source}; leave out "
                "one of the two"
            )
        where[identity.name] = source
    return [run for _, run in runs]


def _copy_run(source: Run, store: Path, segment_rows: int, progress: Progress) -> int:
    folder, identity = source
    target = RunFolder(store, identity.robot, identity.run)
    make_folder(target.segments)
    make_folder(target.journal)
    if retained := retained_row(folder):
        record_retained(target, retained)
    if losses := read_losses(folder):
        record_losses(target, losses)
    rows = 0
    for records, payload in _pieces(folder, identity, segment_rows):
        write_segment(target, identity, records, write_compact, payload)
        _prove(target, identity, records)
        progress(len(records.rows))
        rows += len(records.rows)
    return rows


def _pieces(
    folder: RunFolder, identity: RunIdentity, size: int
) -> Iterator[tuple[Records, Payload | None]]:
    """What becomes a segment each, and its images: with images the segments there are, which are
    as large as is good, and without the images that are damaged."""
    if not identity.schema.images:
        for records in read_blocks(folder, identity, size):
            yield records, None
        return
    sources = LocalRun(folder, identity).sources()
    for records, payload in sources_of(folder, identity, min(sources, default=0), EVERYTHING):
        whole = [i for i, frame in enumerate(records.frames) if is_whole(frame, payload(i))]
        over = records.first_row == sources[-1]
        kept = mark_truncated(records._replace(frames=records.frames[whole]), over)
        yield kept, lambda index, payload=payload, whole=whole: payload(whole[index])


def _prove(folder: RunFolder, identity: RunIdentity, records: Records) -> None:
    """Read back what was written. Raises CorruptSegment."""
    found = load_segment(folder, identity, records.first_row)
    wrong = [
        part
        for part in ("rows", "finals")
        if getattr(found, part).tobytes() != getattr(records, part).tobytes()
    ]
    if damaged_images(folder, identity, records):
        wrong.append("images")
    if wrong:
        raise CorruptSegment(
            f"segment: {folder.segment(records.first_row)} reads back other {' and '.join(wrong)} "
            "than were written; this machine's disk or memory is faulty, make the copy elsewhere"
        )
