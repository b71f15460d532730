"""Images in a sealed segment: a Zarr group `images/<stream>` of ordinary arrays for each stream.

`row` and `crc32c` have an element a frame. Raw images are `frame` (frames, height, width,
channels); JPEGs are the bytes in `data`, each frame from one `offset` to the next.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros.replay.disk.arrays import (
    ArraySpec,
    Read,
    check_metadata,
    read_array,
    read_attributes,
    start_array,
    write_array,
    write_chunk,
    write_group,
)
from porl_ros.replay.disk.frames import Payload
from porl_ros.replay.schema import FRAME, ImageStream, ReplaySchema

CHUNK_BYTES = 1 << 23
I8, U4, U1 = np.dtype("<i8"), np.dtype("<u4"), np.dtype("u1")


class StreamArrays(NamedTuple):
    """The arrays of one stream in a segment; `offset` only of JPEGs."""

    row: ArraySpec
    crc32c: ArraySpec
    offset: ArraySpec | None
    content: ArraySpec

    @classmethod
    def of(cls, stream: ImageStream, frames: int, size: int) -> "StreamArrays":
        """`size`: bytes of all the payloads."""
        group = f"images/{stream.name}"
        row = ArraySpec(f"{group}/row", (frames,), I8, ("frame",), frames)
        crc = ArraySpec(f"{group}/crc32c", (frames,), U4, ("frame",), frames)
        if stream.encoding == "raw":
            chunk = min(frames, max(1, CHUNK_BYTES // stream.frame_bytes))
            axes = ("frame", "height", "width", "channel")
            shape = (frames, *stream.shape)
            return cls(row, crc, None, ArraySpec(f"{group}/frame", shape, U1, axes, chunk))
        offset = ArraySpec(f"{group}/offset", (frames + 1,), I8, ("boundary",), frames + 1)
        chunk = min(size, CHUNK_BYTES)
        return cls(row, crc, offset, ArraySpec(f"{group}/data", (size,), U1, ("byte",), chunk))


def by_stream(frames: np.ndarray) -> np.ndarray:
    """The order of frames in a segment: their indices, by stream and in it as they came."""
    return np.argsort(frames["stream"], kind="stable")


def write_images(path: Path, schema: ReplaySchema, frames: np.ndarray, payload: Payload) -> None:
    """Write the frames of a segment; in memory is one chunk at a time. Raises OSError."""
    write_group(path / "images", {})
    for number, stream in enumerate(schema.images):
        indices = np.flatnonzero(frames["stream"] == number)
        own = frames[indices]
        found = map(payload, indices.tolist())
        full = (data.ljust(size, b"\0") for data, size in zip(found, own["size"], strict=True))
        _write_stream(path, stream, own, full)


def _write_stream(
    path: Path, stream: ImageStream, own: np.ndarray, payloads: Iterable[bytes]
) -> None:
    ends = np.cumsum(own["size"], dtype=np.int64)
    size = int(ends[-1]) if len(ends) else 0
    arrays = StreamArrays.of(stream, len(own), size)
    described = stream.model_dump(mode="json") | {"frames": len(own), "bytes": size}
    write_group(path / "images" / stream.name, described)
    write_array(path, arrays.row, own["row"])
    write_array(path, arrays.crc32c, own["crc32c"])
    if arrays.offset:
        write_array(path, arrays.offset, np.concatenate([[0], ends]).astype(I8))
    start_array(path, arrays.content)
    for number, chunk in enumerate(_cut(payloads, arrays.content.chunk_bytes)):
        write_chunk(path, arrays.content, number, chunk)


def _cut(payloads: Iterable[bytes], size: int) -> Iterator[np.ndarray]:
    """The payloads one after the other in pieces of `size`, the last filled up with zeros."""
    piece, filled = np.zeros(size, np.uint8), 0
    for payload in payloads:
        left = np.frombuffer(payload, np.uint8)
        while len(left):
            part, left = left[: size - filled], left[size - filled :]
            piece[filled : filled + len(part)] = part
            filled += len(part)
            if filled == size:
                yield piece
                filled = 0
    if filled:
        piece[filled:] = 0
        yield piece


def read_index(read: Read, schema: ReplaySchema) -> np.ndarray:
    """Which frames a segment has (FRAME), by stream. Raises ValueError, LookupError, OSError."""
    parts = [_stream_index(read, number, stream) for number, stream in enumerate(schema.images)]
    return np.concatenate(parts) if parts else np.empty(0, FRAME)


def _stream_index(read: Read, number: int, stream: ImageStream) -> np.ndarray:
    described = read_attributes(read, f"images/{stream.name}")
    arrays = StreamArrays.of(stream, int(described["frames"]), int(described["bytes"]))
    check_metadata(read, arrays.content)
    rows = read_array(read, arrays.row)
    index = np.empty(len(rows), FRAME)
    index["row"], index["stream"], index["size"] = rows, number, stream.frame_bytes
    index["crc32c"] = read_array(read, arrays.crc32c)
    if arrays.offset:
        index["size"] = np.diff(read_array(read, arrays.offset))
    return index


class SegmentPayloads:
    """The payloads of a segment, by their index in its frames; cut short where damaged."""

    def __init__(self, read: Read, schema: ReplaySchema, frames: np.ndarray):
        self._read, self._frames = read, frames
        self._offsets = np.empty(len(frames), np.int64)
        self._contents = []
        for number, stream in enumerate(schema.images):
            own = frames["stream"] == number
            ends = np.cumsum(frames["size"][own], dtype=np.int64)
            self._offsets[own] = ends - frames["size"][own]
            size = int(ends[-1]) if len(ends) else 0
            self._contents.append(StreamArrays.of(stream, len(ends), size).content)

    def __call__(self, index: int) -> bytes:
        frame, offset = self._frames[index], int(self._offsets[index])
        content, left = self._contents[int(frame["stream"])], int(frame["size"])
        parts = []
        while left > 0:
            chunk, start = divmod(offset, content.chunk_bytes)
            size = min(left, content.chunk_bytes - start)
            parts.append(self._part(content.key(chunk), size, start))
            offset, left = offset + size, left - size
        return b"".join(parts)

    def _part(self, name: str, size: int, start: int) -> bytes:
        try:
            return self._read(name, size, start)
        except FileNotFoundError:
            return b""
