"""The open tail of a run: an append-only file of checksummed blocks.

A file header says whose journal it is; then each flush adds one block of rows, finals, and the
index of the images in the heap beside it. A block counts only when its CRC is right and it
continues the numbers of the one before, so a write that was cut short is simply not there.
"""

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros.replay.disk.arrays import CRC, crc32c, write_all
from porl_ros.replay.disk.frames import FrameHeap, FrameSlots
from porl_ros.replay.disk.layout import HEAP, sync_folder
from porl_ros.replay.schema import FRAME, Records, RunIdentity, join

FILE_MAGIC = b"PORLWAL\n"
BLOCK_MAGIC = b"\xb1ROW"
FILE_HEADER = struct.Struct("<8sIIIqq16s")  # magic, version, row and final size, first numbers, id
BLOCK_HEADER = struct.Struct("<4sqqIIQ")  # magic, first row, first final, rows, finals, payload
FILE_HEADER_SIZE = FILE_HEADER.size + CRC.size


def _sealed(data: bytes) -> bytes:
    return data + CRC.pack(crc32c(0, data))


def _is_sealed(data: bytes) -> bool:
    return CRC.unpack(data[-CRC.size :])[0] == crc32c(0, data[: -CRC.size])


def encode_block(records: Records) -> list[bytes | np.ndarray]:
    """The parts of a block, one after the other; the arrays are not copied."""
    first, final, *arrays = records
    payload = sum(array.nbytes for array in arrays)
    header = BLOCK_HEADER.pack(
        BLOCK_MAGIC, first, final, len(records.rows), len(records.finals), payload
    )
    crc = 0
    for part in (header, *arrays):
        crc = crc32c(crc, part)
    return [header, *arrays, CRC.pack(crc)]


def decode_block(data: bytes, offset: int, identity: RunIdentity) -> tuple[Records, int] | None:
    """The block at `offset` and where it ends, or None if there is no whole one."""
    if offset + BLOCK_HEADER.size > len(data):
        return None
    magic, row, final, rows, finals, payload = BLOCK_HEADER.unpack_from(data, offset)
    row_dtype, final_dtype = identity.schema.row_dtype, identity.schema.final_dtype
    index = payload - rows * row_dtype.itemsize - finals * final_dtype.itemsize
    if magic != BLOCK_MAGIC or index < 0 or index % FRAME.itemsize:
        return None
    start = offset + BLOCK_HEADER.size
    end = start + payload + CRC.size
    if end > len(data) or not _is_sealed(data[offset:end]):
        return None
    row_array = np.frombuffer(data, row_dtype, rows, start)
    final_array = np.frombuffer(data, final_dtype, finals, start + row_array.nbytes)
    frames = np.frombuffer(data, FRAME, index // FRAME.itemsize, end - CRC.size - index)
    return Records(row, final, row_array, final_array, frames), end


class FileHeader(NamedTuple):
    """Numbers of the first row and final that a journal holds."""

    first_row: int
    first_final: int

    def encode(self, identity: RunIdentity) -> bytes:
        schema, version = identity.schema, identity.schema.format_version
        sizes = schema.row_dtype.itemsize, schema.final_dtype.itemsize
        return _sealed(FILE_HEADER.pack(FILE_MAGIC, version, *sizes, *self, identity.fingerprint))

    @classmethod
    def decode(cls, data: bytes, identity: RunIdentity) -> "FileHeader | None":
        """None if these bytes do not begin a journal of this very run."""
        if len(data) < FILE_HEADER_SIZE:
            return None
        header = cls(*FILE_HEADER.unpack_from(data)[4:6])
        return header if data.startswith(header.encode(identity)) else None


class JournalWriter:
    """Appends blocks to a new journal file, and images to its heap. One thread."""

    def __init__(self, path: Path, identity: RunIdentity, first_row: int, first_final: int):
        self.path, self.rows = path, 0
        self._heap: FrameHeap | None = None
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o644)
        try:
            if identity.schema.images:
                self._heap = FrameHeap(path.with_suffix(HEAP))
            self._write([FileHeader(first_row, first_final).encode(identity)])
            sync_folder(path.parent)
        except BaseException:
            self.close()
            path.unlink(missing_ok=True)
            path.with_suffix(HEAP).unlink(missing_ok=True)
            raise

    @property
    def image_bytes(self) -> int:
        return self._heap.bytes if self._heap else 0

    def append(self, records: Records, images: Sequence[FrameSlots] = ()) -> None:
        """Write and fdatasync the images, and then one block of the rows that they belong to; when
        this returns all is durable. Raises OSError."""
        if self._heap:
            records = records._replace(frames=self._heap.append(images))
        self._write(encode_block(records))
        self.rows += len(records.rows)

    def _write(self, parts: Sequence[bytes | np.ndarray]) -> None:
        write_all(self._descriptor, *parts)
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
        if self._heap:
            self._heap.close()


class JournalTail:
    """Reads a journal that may still be growing, and may be removed meanwhile. One thread."""

    def __init__(self, path: Path, identity: RunIdentity, first_row: int):
        """Raises FileNotFoundError if the journal has been sealed already."""
        self._descriptor = os.open(path, os.O_RDONLY)
        self._identity, self._first_row = identity, first_row
        self._next: tuple[int, int] | None = None  # numbers the next block must begin with
        self._offset = 0
        self.removed = False  # at the last read: sealed and unlinked, so nothing more will come

    def read(self) -> Records | None:
        """The whole blocks that were added since the last call, or None."""
        status = os.fstat(self._descriptor)
        size, self.removed = status.st_size, status.st_nlink == 0
        if size <= self._offset:
            return None
        data = os.pread(self._descriptor, size - self._offset, self._offset)
        start = 0
        if self._next is None:
            header = FileHeader.decode(data, self._identity)
            if header is None or header.first_row != self._first_row:
                return None
            self._next, start = tuple(header), FILE_HEADER_SIZE
        blocks, end = self._blocks(data, start)
        self._offset += end
        return join(blocks) if blocks else None

    def _blocks(self, data: bytes, offset: int) -> tuple[list[Records], int]:
        blocks: list[Records] = []
        while block := decode_block(data, offset, self._identity):
            records, end = block
            if (records.first_row, records.first_final) != self._next:
                break
            blocks.append(records)
            self._next, offset = (records.next_row, records.next_final), end
        return blocks, offset

    def unread(self) -> bytes:
        """What lies after the last whole block: nothing, a torn block, or damage."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, max(0, size - self._offset), self._offset)

    @property
    def recognised(self) -> bool:
        """Whether the file header has been read and is this run's."""
        return self._next is not None

    def close(self) -> None:
        os.close(self._descriptor)


def holds_block(data: bytes, identity: RunIdentity) -> bool:
    """Whether a whole block lies anywhere after the first byte: then data[0] is not a torn end."""
    offset = data.find(BLOCK_MAGIC, 1)
    while offset >= 0:
        if decode_block(data, offset, identity):
            return True
        offset = data.find(BLOCK_MAGIC, offset + 1)
    return False
