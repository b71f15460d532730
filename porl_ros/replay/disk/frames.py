"""Images on their way to disk: slots that the control thread copies into, and a heap of payloads.

A frame is large and only some readers want it, so it does not go through the journal of rows. The
heap lies beside the journal and is nothing but payloads, one after the other; which row and stream
each belongs to, its size and CRC are in the journal's block. The heap is durable before the block
is written, so a row that counts has its frames.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from porl_ros.replay.disk.arrays import crc32c, write_all
from porl_ros.replay.schema import FRAME, ImageStream

WAITING_BYTES = 1 << 28  # of a stream may wait for the disk; only touched pages take memory

Payload = Callable[[int], bytes]  # as they lie on disk, of the frame with this index


class FrameSlots:
    """Frames of one stream that wait for the disk. Not locked."""

    def __init__(self, stream: ImageStream):
        self.stream = stream
        capacity = max(2, WAITING_BYTES // stream.frame_bytes)
        self._images = np.empty((capacity, *stream.shape), np.uint8)
        self._bytes = memoryview(self._images).cast("B")
        self._rows = np.empty(capacity, np.int64)
        self.count = 0

    @property
    def capacity(self) -> int:
        return len(self._rows)

    def check(self, image: object) -> np.ndarray:
        """The image as it can be added; raises ValueError."""
        image, stream = np.asarray(image), self.stream
        if image.ndim == 2 and stream.channels == 1:
            image = image[..., None]
        if image.dtype != np.uint8 or image.shape != stream.shape:
            raise ValueError(
                f"images: {stream.name}: {image.dtype} {image.shape}, expected uint8 {stream.shape}"
            )
        return np.ascontiguousarray(image)

    def add(self, row: int, image: np.ndarray) -> None:
        # Not by NumPy, which lets another thread run while it copies, and then waits for it
        at = self.count * self.stream.frame_bytes
        self._bytes[at : at + self.stream.frame_bytes] = memoryview(image).cast("B")
        self._rows[self.count] = row
        self.count += 1

    def waiting(self) -> list[tuple[int, np.ndarray]]:
        """(row, image) of each frame; views, valid until `count` is set back."""
        return [(int(self._rows[i]), self._images[i]) for i in range(self.count)]


def encode(stream: ImageStream, image: np.ndarray) -> bytes | np.ndarray:
    """The payload of a frame (height, width, channels), C-contiguous uint8."""
    if stream.encoding == "raw":
        return image.reshape(-1)
    import simplejpeg  # unlike Pillow it lets other threads run, the control thread among them

    colours = "GRAY" if stream.channels == 1 else "RGB"
    return simplejpeg.encode_jpeg(image, stream.quality, colours, colorsubsampling="420")


def decode(stream: ImageStream, payload: bytes) -> np.ndarray:
    """The image (height, width, channels) of a payload; raises ValueError if it is no such one."""
    if stream.encoding == "raw":
        return np.frombuffer(payload, np.uint8).reshape(stream.shape)
    import simplejpeg

    height, width, *_ = simplejpeg.decode_jpeg_header(payload)
    if (height, width) != (stream.height, stream.width):  # before that much is allocated
        raise ValueError(f"{stream.name}: a JPEG of {height}x{width}, expected {stream.shape}")
    image = simplejpeg.decode_jpeg(payload, "GRAY" if stream.channels == 1 else "RGB")
    return image.reshape(stream.shape)


class FrameHeap:
    """Appends payloads to a new heap file. One thread."""

    def __init__(self, path: Path):
        self.bytes = 0
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
        self._descriptor = os.open(path, flags, 0o644)

    def append(self, streams: Sequence[FrameSlots]) -> np.ndarray:
        """Encode, write and fdatasync what waits; its index (FRAME). Raises OSError."""
        index = []
        for number, slots in enumerate(streams):
            for row, image in slots.waiting():
                payload = encode(slots.stream, image)
                write_all(self._descriptor, payload)
                index.append((row, number, len(payload), crc32c(0, payload)))
                self.bytes += len(payload)
        if index:
            os.fdatasync(self._descriptor)
        return np.array(index, FRAME)

    def close(self) -> None:
        os.close(self._descriptor)


class HeapPayloads:
    """The payloads of a heap, by their index in all frames of its journal. Close it."""

    def __init__(self, path: Path, frames: np.ndarray):
        """A heap that is not there has no payload that is whole. Raises OSError otherwise."""
        self._frames = frames
        self._offsets = np.cumsum(frames["size"], dtype=np.int64) - frames["size"]
        self.damaged: list[int] = []  # rows of the frames that were asked for and are not right
        self._descriptor = os.open(path if path.exists() else os.devnull, os.O_RDONLY)

    def __call__(self, index: int) -> bytes:
        frame = self._frames[index]
        size, offset = int(frame["size"]), int(self._offsets[index])
        payload = os.pread(self._descriptor, size, offset)
        if not is_whole(frame, payload):
            self.damaged.append(int(frame["row"]))
        return payload

    def close(self) -> None:
        os.close(self._descriptor)


def is_whole(frame: np.void, payload: bytes) -> bool:
    return len(payload) == frame["size"] and crc32c(0, payload) == frame["crc32c"]
