"""A sealed segment: an immutable Zarr v3 group of ordinary named arrays, checked end to end.

Each array is one chunk with the crc32c codec, so other tools notice a flipped bit. That does not
cover metadata, a chunk that is missing (Zarr fills in zeros) or a segment copied elsewhere, so the
group's attributes also hold one CRC over the packed contents and whose they are. A segment whose
arrays are laid out otherwise (compressed, sharded) is read by zarr-python and checked the same way.
"""

import contextlib
import fcntl
import functools
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from porl_ros.replay.disk.arrays import (
    ArraySpec,
    OtherLayout,
    Read,
    crc32c,
    read_array,
    read_attributes,
    read_with_zarr,
    write_array,
    write_group,
)
from porl_ros.replay.disk.frame_arrays import by_stream, read_index, write_images
from porl_ros.replay.disk.frames import Payload
from porl_ros.replay.disk.layout import ATTRIBUTE, RunFolder, sync_folder, sync_tree
from porl_ros.replay.errors import CorruptSegment
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity

Write = Callable[[Path, RunIdentity, Records], None]
WHOSE = struct.Struct("<16sqq")  # fingerprint of the run, first row, first final


class SegmentInfo(BaseModel):
    """What a segment's attributes say of it; `crc32c` covers all of it and the contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int
    contract_hash: str
    robot: str
    run: str
    first_row: int = Field(ge=0)
    first_final: int = Field(ge=0)
    rows: int = Field(ge=0)
    finals: int = Field(ge=0)
    crc32c: int

    @classmethod
    def of(cls, identity: RunIdentity, records: Records) -> "SegmentInfo":
        return cls(
            format_version=identity.schema.format_version,
            contract_hash=identity.schema.contract_hash,
            robot=identity.robot,
            run=identity.run,
            first_row=records.first_row,
            first_final=records.first_final,
            rows=len(records.rows),
            finals=len(records.finals),
            crc32c=_checksum(identity, records),
        )


def _checksum(identity: RunIdentity, records: Records) -> int:
    crc = crc32c(0, WHOSE.pack(identity.fingerprint, records.first_row, records.first_final))
    for part in (records.rows, records.finals, records.frames[by_stream(records.frames)]):
        crc = crc32c(crc, part)
    return crc


def columns(schema: ReplaySchema, rows: int, finals: int) -> Iterator[tuple[ArraySpec, str, str]]:
    """Each array of a segment, whether it holds "rows" or "finals", and which field of them."""
    names = {"observation": schema.observation_names, "final_observation": schema.observation_names}
    names |= {"action": schema.action_names, "requested_action": schema.action_names}
    parts = (("rows", "", schema.row_dtype, rows), ("finals", "final_", schema.final_dtype, finals))
    for part, prefix, dtype, count in parts:
        for field in dtype.names:
            name, element = prefix + field, dtype[field]
            shape = (count, *element.shape)
            axes = ("row" if part == "rows" else "final", "element")[: len(shape)]
            attributes = {"names": list(names[name])} if name in names else {}
            yield ArraySpec(name, shape, element.base, axes, count, attributes), part, field


def write_segment(
    folder: RunFolder,
    identity: RunIdentity,
    records: Records,
    write: Write | None = None,
    payload: Payload | None = None,
) -> Path:
    """Write and fsync a segment under a temporary name, then rename it. Raises OSError.

    `write` lays it out; left out, one raw chunk an array. `payload` gives the images of
    `records.frames` by their index.
    """
    path = folder.segment(records.first_row)
    temporary = path.with_name(f".{path.name}.tmp")
    if temporary.exists():
        shutil.rmtree(temporary)
    try:
        (write or write_arrays)(temporary, identity, records)
        if identity.schema.images:
            write_images(temporary, identity.schema, records.frames, payload or _no_payload)
        sync_tree(temporary)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return path


def _no_payload(index: int) -> bytes:
    raise ValueError("payload: rows with images were to be written without them")


def write_arrays(path: Path, identity: RunIdentity, records: Records) -> None:
    """The group and arrays of a segment, at once, and not synced. Raises OSError."""
    info = SegmentInfo.of(identity, records)
    write_group(path, {ATTRIBUTE: info.model_dump(mode="json")})
    for spec, part, field in columns(identity.schema, info.rows, info.finals):
        write_array(path, spec, getattr(records, part)[field])


def load_segment(folder: RunFolder, identity: RunIdentity, first_row: int) -> Records:
    """Read and verify a whole segment; retention leaves it alone meanwhile.

    Raises CorruptSegment, or FileNotFoundError if the segment is not there at all.
    """
    path = folder.segment(first_row)
    with reading(path) as read:
        return parse_segment(read, path, identity, first_row)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Read]:
    """How to read the files of a segment, which is held by a shared lock meanwhile.

    Raises FileNotFoundError if it is not there.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    try:
        _share(descriptor, path)
        yield functools.partial(_read_below, descriptor)
    finally:
        os.close(descriptor)


def _share(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FileNotFoundError(f"{path} is being dropped") from None
    except OSError:  # a file system without locks; nobody on this machine drops segments there
        return


def _read_below(folder: int, name: str, limit: int, start: int = 0) -> bytes:
    with open(name, "rb", opener=functools.partial(os.open, dir_fd=folder)) as file:
        file.seek(start)
        return file.read(limit)


def parse_segment(read: Read, source: object, identity: RunIdentity, first_row: int) -> Records:
    """A whole segment, from wherever `read` takes its files; `source` is the same for zarr.

    Raises CorruptSegment for whatever is wrong with it.
    """
    try:
        info = SegmentInfo.model_validate(read_attributes(read, "")[ATTRIBUTE])
        records = _read_arrays(read, source, info, identity.schema)
    except Exception as error:  # noqa: BLE001  damaged metadata leads anywhere
        raise _corrupt(source, f"cannot be read: {error}") from error
    if info.first_row != first_row or info != SegmentInfo.of(identity, records):
        raise _corrupt(source, "its contents do not match its description and checksum")
    return records


def _read_arrays(read: Read, source: object, info: SegmentInfo, schema: ReplaySchema) -> Records:
    parts = list(columns(schema, info.rows, info.finals))
    specs = [spec for spec, _, _ in parts]
    try:  # before anything of a made-up size is allocated, as files would have to be as large
        arrays = [read_array(read, spec) for spec in specs]
    except OtherLayout:
        arrays = read_with_zarr(source, specs)
    rows = np.empty(info.rows, schema.row_dtype)
    finals = np.empty(info.finals, schema.final_dtype)
    for (_, part, field), array in zip(parts, arrays, strict=True):
        (rows if part == "rows" else finals)[field] = array
    return Records(info.first_row, info.first_final, rows, finals, read_index(read, schema))


def _corrupt(source: object, what: str) -> CorruptSegment:
    remedy = "restore it from a copy, or do without its rows"
    return CorruptSegment(f"segment: {source} {what}; {remedy}")
