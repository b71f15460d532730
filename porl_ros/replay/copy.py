"""Compact copies of stores: every run in large, compressed segments, proved row for row.

A copy is a store as any other. It appears under its name when it is complete, and not before.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from porl_ros.paths import require_empty_or_missing
from porl_ros.replay.arrays import write_group
from porl_ros.replay.blocks import read_blocks
from porl_ros.replay.check import require_sound
from porl_ros.replay.errors import CorruptSegment, RunExists, StoreNotWritable
from porl_ros.replay.layout import (
    ATTRIBUTE,
    RunFolder,
    create_store,
    make_folder,
    read_schema,
    require_same,
    sync_folder,
)
from porl_ros.replay.losses import read_losses, record_losses
from porl_ros.replay.retention import record_retained, retained_row
from porl_ros.replay.runs import Run, runs_of
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity
from porl_ros.replay.segment import SegmentInfo, columns, load_segment, write_segment

SEGMENT_ROWS = 65_536
CHUNK_ROWS = 16_384  # that others read at once; enough to compress well

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
        with _appearing(out) as new:
            create_store(new, schema)
            rows = sum(_copy_run(run, new, segment_rows, progress) for run in runs)
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


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place if all goes well, and is gone otherwise."""
    new = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)  # of a copy that was killed
    try:
        yield new
        new.rename(out)
        sync_folder(out.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


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
    for records in read_blocks(folder, identity, segment_rows):
        write_segment(target, identity, records, write_compact)
        _prove(target, identity, records)
        progress(len(records.rows))
        rows += len(records.rows)
    return rows


def _prove(folder: RunFolder, identity: RunIdentity, records: Records) -> None:
    """Read back what was written. Raises CorruptSegment."""
    found = load_segment(folder, identity, records.first_row)
    for part in ("rows", "finals"):
        if getattr(found, part).tobytes() != getattr(records, part).tobytes():
            raise CorruptSegment(
                f"segment: {folder.segment(records.first_row)} reads back other {part} than were "
                "written; this machine's disk or memory is faulty, make the copy elsewhere"
            )


def write_compact(path: Path, identity: RunIdentity, records: Records) -> None:
    """A segment of the same arrays as any, each one shard of compressed chunks."""
    import zarr  # here: half a second
    from zarr.codecs import BloscCodec, Crc32cCodec

    info = SegmentInfo.of(identity, records)
    write_group(path, {ATTRIBUTE: info.model_dump(mode="json")})
    group = zarr.open_group(path, mode="r+", zarr_format=3)
    for spec, part, field in columns(identity.schema, info.rows, info.finals):
        values = np.ascontiguousarray(getattr(records, part)[field])
        chunk = max(1, min(len(values), CHUNK_ROWS))
        shard = -(-max(1, len(values)) // chunk) * chunk
        group.create_array(
            spec.name,
            data=values,
            chunks=(chunk, *values.shape[1:]),
            shards=(shard, *values.shape[1:]),
            filters=None,
            compressors=[BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()],
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=spec.axes,
            attributes=spec.attributes,
        )
