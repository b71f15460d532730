"""The small part of Zarr v3 that a segment needs: groups, and arrays in raw chunks with a CRC.

A segment is many small files that are written once. Emitted directly they take a tenth of the time
that zarr-python takes, which matters beside a control loop, and reading them back compares instead
of interpreting: metadata is either what would be written, or the segment is damaged. What is
written is what zarr-python writes for the same arrays; a test holds the two side by side.
"""

import json
import os
import struct
from collections.abc import Callable
from math import ceil, prod
from pathlib import Path
from typing import NamedTuple

import google_crc32c
import numpy as np

CRC = struct.Struct("<I")
LARGEST_METADATA = 1 << 20  # bytes: far above any metadata, small enough to read without thinking
DATA_TYPES = {
    "<f4": "float32",
    "|u1": "uint8",
    "<u4": "uint32",
    "<i4": "int32",
    "<i8": "int64",
}
CONTENT = ("node_type", "zarr_format", "shape", "data_type")
LAYOUT = ("chunk_grid", "chunk_key_encoding", "codecs")

# (name, limit, start of 0): at most so many bytes of a file below a segment, from `start` on
Read = Callable[..., bytes]


class OtherLayout(ValueError):
    """The array is what was expected, but its chunks are not raw, or not one."""


class ArraySpec(NamedTuple):
    """What an array's metadata says. `chunk` is how much of the first axis one chunk holds."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    axes: tuple[str, ...]
    chunk: int
    attributes: dict = {}

    @property
    def chunks(self) -> int:
        return ceil(self.shape[0] / self.chunk) if prod(self.shape) else 0

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return tuple(max(1, size) for size in (self.chunk, *self.shape[1:]))

    @property
    def chunk_bytes(self) -> int:
        """Without the CRC. Zarr stores the last chunk in full, filled up with zeros."""
        return prod(self.chunk_shape) * self.dtype.itemsize

    def key(self, chunk: int) -> str:
        """Name of a chunk's file; "." separates, so that there is no folder per chunk to sync."""
        return f"{self.name}/c.{'.'.join([str(chunk), *'0' * (len(self.shape) - 1)])}"

    def metadata(self) -> dict:
        order = [] if self.dtype.itemsize == 1 else [("endian", "little")]
        to_bytes = {"name": "bytes"} | ({"configuration": dict(order)} if order else {})
        return {
            "shape": list(self.shape),
            "data_type": DATA_TYPES[self.dtype.str],
            "chunk_grid": _named("regular", chunk_shape=list(self.chunk_shape)),
            "chunk_key_encoding": _named("default", separator="."),
            "fill_value": 0.0 if self.dtype.kind == "f" else 0,
            "codecs": [to_bytes, {"name": "crc32c"}],
            "attributes": self.attributes,
            "dimension_names": list(self.axes),
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }


def _named(name: str, **configuration: object) -> dict:
    return {"name": name, "configuration": configuration}


def write_group(path: Path, attributes: dict) -> None:
    """Make a folder that is a Zarr group. Raises OSError."""
    path.mkdir()
    group = {"attributes": attributes, "zarr_format": 3, "node_type": "group"}
    write_file(path / "zarr.json", json.dumps(group, indent=2).encode())


def write_array(group: Path, spec: ArraySpec, values: np.ndarray) -> None:
    """Write an array of one chunk. Raises OSError."""
    start_array(group, spec)
    if spec.chunks:
        write_chunk(group, spec, 0, np.ascontiguousarray(values))


def start_array(group: Path, spec: ArraySpec) -> None:
    (group / spec.name).mkdir()
    write_file(group / spec.name / "zarr.json", json.dumps(spec.metadata(), indent=2).encode())


def write_chunk(group: Path, spec: ArraySpec, chunk: int, data: np.ndarray) -> None:
    """`data`: contiguous, as much as a chunk holds."""
    write_file(group / spec.key(chunk), data, CRC.pack(crc32c(0, data)))


def write_file(path: Path, *parts: bytes | np.ndarray, sync: bool = False) -> None:
    """Write a new file, and fsync it if asked to. Raises OSError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        write_all(descriptor, *parts)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, *parts: bytes | np.ndarray) -> None:
    """Write contiguous parts one after the other, in one call unless the disk takes less."""
    views = [memoryview(part).cast("B") for part in parts if len(part)]
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


def crc32c(crc: int, data: bytes | np.ndarray) -> int:
    """`crc` (0 to begin with) extended over `data`; an array must be contiguous."""
    if isinstance(data, np.ndarray):
        data = data.view()  # the library takes buffers that nobody may write, without a copy
        data.flags.writeable = False
    return google_crc32c.extend(crc, data)


def read_attributes(read: Read, group: str) -> dict:
    """Attributes of a group, "" being the segment itself. Raises ValueError, FileNotFoundError."""
    described = _read_json(read, f"{group}/zarr.json".lstrip("/"))
    if described.get("node_type") != "group" or described.get("zarr_format") != 3:
        raise ValueError(f"{group or 'it'} is not a Zarr v3 group")
    return described["attributes"]


def read_array(read: Read, spec: ArraySpec) -> np.ndarray:
    """A whole array of one chunk. Raises ValueError, LookupError, FileNotFoundError."""
    check_metadata(read, spec)
    if not spec.chunks:
        return np.empty(spec.shape, spec.dtype)
    return read_chunk(read, spec, 0).view(spec.dtype).reshape(spec.shape)


def check_metadata(read: Read, spec: ArraySpec) -> None:
    """Raises OtherLayout or ValueError unless the array is what `spec` says."""
    found, expected = _read_json(read, f"{spec.name}/zarr.json"), spec.metadata()
    for error, keys in ((ValueError, CONTENT), (OtherLayout, LAYOUT)):
        for key in keys:
            if found.get(key) != expected[key]:
                raise error(f"{spec.name}: {key} {found.get(key)!r}, expected {expected[key]!r}")


def read_with_zarr(store: object, specs: list[ArraySpec]) -> list[np.ndarray]:
    """The arrays of a segment that is laid out otherwise; `store` is whatever zarr opens.

    Raises ValueError, and whatever zarr raises for what is damaged.
    """
    import zarr  # here: half a second, and a segment of our own does not need it

    group = zarr.open_group(store, mode="r", zarr_format=3)
    arrays = [group[spec.name] for spec in specs]
    for spec, array in zip(specs, arrays, strict=True):
        if (array.shape, array.dtype) != (spec.shape, spec.dtype):
            raise ValueError(f"{spec.name}: {array.dtype} {array.shape}, expected {spec.shape}")
    return [array[...] for array in arrays]


def read_chunk(read: Read, spec: ArraySpec, chunk: int) -> np.ndarray:
    """The bytes (uint8) of one chunk. Raises ValueError, FileNotFoundError."""
    data = read(spec.key(chunk), spec.chunk_bytes + CRC.size + 1)
    if len(data) != spec.chunk_bytes + CRC.size:
        raise ValueError(f"{spec.key(chunk)}: {len(data)} bytes, not {spec.chunk_bytes + CRC.size}")
    content = np.frombuffer(data, np.uint8)[: -CRC.size]
    if CRC.unpack(data[-CRC.size :])[0] != crc32c(0, content):
        raise ValueError(f"{spec.key(chunk)}: its checksum does not match")
    return content


def _read_json(read: Read, name: str) -> dict:
    found = json.loads(read(name, LARGEST_METADATA))
    if not isinstance(found, dict):
        raise ValueError(f"{name}: not a JSON object")
    return found
