"""A sealed segment: an immutable Zarr v3 group of ordinary named arrays, checked end to end.

Each array is one chunk with the crc32c codec, so other tools notice a flipped bit. That does not
cover metadata, a chunk that is missing (Zarr fills in zeros) or a segment copied elsewhere, so the
group's attributes also hold one CRC over the packed contents and whose they are.
"""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field
from zarr.codecs import Crc32cCodec

from porl_ros.replay.errors import CorruptSegment
from porl_ros.replay.layout import ATTRIBUTE, RunFolder, sync_folder, sync_tree
from porl_ros.replay.schema import FORMAT_VERSION, Records, ReplaySchema, RunIdentity

WHOSE = struct.Struct("<16sqq")  # fingerprint of the run, first row, first final


class SegmentInfo(BaseModel):
    """What a segment's attributes say of it; `crc32c` covers all of it and the contents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
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
    whose = WHOSE.pack(identity.fingerprint, records.first_row, records.first_final)
    crc = google_crc32c.value(whose)
    for part in (records.rows, records.finals):
        crc = google_crc32c.extend(crc, part.tobytes())
    return crc


def _columns(schema: ReplaySchema) -> Iterator[tuple[str, str, str]]:
    """(array name, "rows" or "finals", field) of each array in a segment."""
    for field in schema.row_dtype.names:
        yield field, "rows", field
    for field in schema.final_dtype.names:
        yield f"final_{field}", "finals", field


def write_segment(folder: RunFolder, identity: RunIdentity, records: Records) -> Path:
    """Write and fsync a segment under a temporary name, then rename it. Raises OSError."""
    path = folder.segment(records.first_row)
    temporary = path.with_name(f".{path.name}.tmp")
    if temporary.exists():
        shutil.rmtree(temporary)
    try:
        _write_group(temporary, identity, records)
        sync_tree(temporary)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return path


def _write_group(path: Path, identity: RunIdentity, records: Records) -> None:
    attributes = {ATTRIBUTE: SegmentInfo.of(identity, records).model_dump(mode="json")}
    group = zarr.create_group(path, attributes=attributes, zarr_format=3)
    schema = identity.schema
    names = {"observation": schema.observation_names, "final_observation": schema.observation_names}
    names |= {"action": schema.action_names, "requested_action": schema.action_names}
    for name, part, field in _columns(schema):
        values = np.ascontiguousarray(getattr(records, part)[field])
        group.create_array(
            name,
            data=values,
            chunks=tuple(max(1, size) for size in values.shape),
            compressors=[Crc32cCodec()],
            filters=None,
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "default", "separator": "."},  # no folder per chunk to sync
            dimension_names=("row" if part == "rows" else "final", "element")[: values.ndim],
            attributes={"names": list(names[name])} if name in names else {},
        )


def load_segment(folder: RunFolder, identity: RunIdentity, first_row: int) -> Records:
    """Read and verify a whole segment.

    Raises CorruptSegment, or FileNotFoundError if the segment is not there at all.
    """
    path = folder.segment(first_row)
    if not path.is_dir():
        raise FileNotFoundError(path)
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)
        info = SegmentInfo.model_validate(group.attrs[ATTRIBUTE])
        records = _read_arrays(group, info, identity.schema)
    except Exception as error:  # zarr raises whatever damaged metadata leads it to
        raise _corrupt(path, f"cannot be read: {error}") from error
    if info.first_row != first_row or info != SegmentInfo.of(identity, records):
        raise _corrupt(path, "its contents do not match its description and checksum")
    return records


def _read_arrays(group: zarr.Group, info: SegmentInfo, schema: ReplaySchema) -> Records:
    dtypes = {"rows": schema.row_dtype, "finals": schema.final_dtype}
    arrays = [group[name] for name, _, _ in _columns(schema)]
    for (name, part, field), array in zip(_columns(schema), arrays, strict=True):
        expected = (getattr(info, part), *dtypes[part][field].shape)
        if array.shape != expected:  # before anything of a made-up size is allocated
            raise ValueError(f"{name}: shape {array.shape}, expected {expected}")
    parts = {part: np.empty(getattr(info, part), dtype) for part, dtype in dtypes.items()}
    for (_, part, field), array in zip(_columns(schema), arrays, strict=True):
        parts[part][field] = array[...]
    return Records(info.first_row, info.first_final, parts["rows"], parts["finals"])


def _corrupt(path: Path, what: str) -> CorruptSegment:
    return CorruptSegment(f"segment: {path} {what}; restore it from a copy, or do without its rows")
