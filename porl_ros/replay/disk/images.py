"""Reading images: those that belong to some rows of a run, sealed or not yet."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros.replay.disk.frame_arrays import SegmentPayloads
from porl_ros.replay.disk.frames import HeapPayloads, Payload, decode, is_whole
from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.disk.layout import RunFolder, read_schema
from porl_ros.replay.disk.segment import parse_segment, reading
from porl_ros.replay.errors import CorruptSegment, StoreFormatError
from porl_ros.replay.schema import ImageStream, Records, RunIdentity

ATTEMPTS = 3  # a journal can be sealed away between listing and opening; then look again


class Images(NamedTuple):
    """Frames of one stream: rows (k,) int64, ascending, and images (k, height, width, channels)
    uint8. `damaged`: rows whose frame is there no more, or not as it was."""

    rows: np.ndarray
    images: np.ndarray
    damaged: list[int]


def read_images(store: Path, run: str, first_row: int, count: int, stream: str) -> Images:
    """The frames of `stream` that were logged with the rows from `first_row` on, of the run
    "robot/run". A row may have none. Any process, while the run is being written or after.

    Raises StoreMissing, StoreFormatError (no such stream), NewerFormat, InvalidName.
    """
    schema = read_schema(Path(store))
    number = _number(schema.images, stream, store)
    robot, _, name = run.partition("/")
    identity, folder = RunIdentity(schema, robot, name), RunFolder(Path(store), robot, name)
    rows, images, damaged = [], [], []
    for records, payload in sources_of(folder, identity, first_row, count):
        wanted = records.frames["row"] - first_row
        wanted = (records.frames["stream"] == number) & (wanted >= 0) & (wanted < count)
        for index in np.flatnonzero(wanted):
            frame, data = records.frames[index], payload(int(index))
            image = _decoded(schema.images[number], data) if is_whole(frame, data) else None
            if image is None:
                damaged.append(int(frame["row"]))
            else:
                rows.append(int(frame["row"]))
                images.append(image)
    shape = (len(images), *schema.images[number].shape)
    return Images(np.array(rows, np.int64), np.array(images, np.uint8).reshape(shape), damaged)


def _decoded(stream: ImageStream, data: bytes) -> np.ndarray | None:
    """None if these bytes are no image of the stream, whoever may have put them there."""
    try:
        return decode(stream, data)
    except ValueError:
        return None


def _number(streams: tuple[ImageStream, ...], name: str, store: Path) -> int:
    names = [stream.name for stream in streams]
    if name not in names:
        raise StoreFormatError(f"stream: {store} has no images {name!r}, it has {names or 'none'}")
    return names.index(name)


def sources_of(
    folder: RunFolder, identity: RunIdentity, first_row: int, count: int
) -> Iterator[tuple[Records, Payload]]:
    """Each segment and journal that holds some of these rows, in order, and its images, which can
    be had until the next is asked for.

    Segments that are damaged, or dropped meanwhile, are left out: their rows are not there either.
    """
    at = first_row
    while at < first_row + count:
        sources = {*folder.journal_rows(), *folder.segment_rows()}
        first = max((row for row in sources if row <= at), default=None)
        reached = at
        if first is not None:
            with _opened(folder, identity, first) as found:
                if found and found[0].next_row > at:
                    yield found
                    reached = found[0].next_row
        following = min((row for row in sources if row > at), default=first_row + count)
        at = reached if reached > at else following


@contextlib.contextmanager
def _opened(
    folder: RunFolder, identity: RunIdentity, first: int
) -> Iterator[tuple[Records, Payload] | None]:
    """A segment, or the journal that will become it; None if it is neither there nor whole."""
    with contextlib.ExitStack() as held:
        found = None
        for opener in (_open_segment, _open_journal) * ATTEMPTS:
            with contextlib.suppress(CorruptSegment, FileNotFoundError):
                found = opener(held, folder, identity, first)
                break
        yield found


def _open_segment(
    held: contextlib.ExitStack, folder: RunFolder, identity: RunIdentity, first: int
) -> tuple[Records, Payload]:
    path = folder.segment(first)
    read = held.enter_context(reading(path))
    records = parse_segment(read, path, identity, first)
    return records, SegmentPayloads(read, identity.schema, records.frames)


def _open_journal(
    held: contextlib.ExitStack, folder: RunFolder, identity: RunIdentity, first: int
) -> tuple[Records, Payload] | None:
    heap = folder.heap(first)
    with contextlib.closing(JournalTail(folder.wal(first), identity, first)) as tail:
        records = tail.read()
    if records is None:
        return None
    payload = held.enter_context(contextlib.closing(HeapPayloads(heap, records.frames)))
    if not folder.wal(first).exists():  # sealed meanwhile, and the heap dropped with it
        raise FileNotFoundError(heap)
    return records, payload
