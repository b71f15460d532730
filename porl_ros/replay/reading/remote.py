"""A copy of a store behind a URL, as a reader sees it: its sealed segments.

A copy may be growing, and a segment does not arrive there in one piece. So one that cannot be read
is tried again for a while before it counts as corrupt.
"""

import math
import time
from collections.abc import Callable, Iterable
from functools import partial

from porl_ros.replay.disk.arrays import read_attributes
from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.disk.layout import ATTRIBUTE, NAME, SEGMENT, parse_schema
from porl_ros.replay.disk.retention import RETAINED, parse_retained
from porl_ros.replay.disk.segment import columns, parse_segment
from porl_ros.replay.errors import CorruptSegment, NotYetWhole
from porl_ros.replay.reading.remote_files import RemoteFiles
from porl_ros.replay.schema import Records, ReplaySchema, RunIdentity


class RemoteStore:
    """The copy behind a URL. It is listed every `list_every` seconds at most; a segment that cannot
    be read is corrupt after `patience` seconds. One thread."""

    def __init__(
        self,
        url: str,
        list_every: float = 30.0,
        patience: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Raises RemoteNotInstalled, or StoreMissing for a URL that means nothing."""
        self.files, self.clock = RemoteFiles(url), clock
        self.list_every, self.patience = list_every, patience
        self._look_again = -math.inf

    def __str__(self) -> str:
        return self.files.url

    def schema(self) -> ReplaySchema:
        """Raises StoreMissing, StoreFormatError, NewerFormat or StoreUnreachable."""
        return parse_schema(partial(self.files.read, "zarr.json"), self)

    def is_there(self) -> bool:
        return True  # a folder that is empty for now and one that is gone look the same

    def new_runs(self) -> Iterable[tuple[str, str]]:
        """(robot, run) of all that are there, when it is time to look. Raises StoreUnreachable."""
        if self.clock() < self._look_again:
            return []
        robots = self._names("writers")
        runs = [(robot, run) for robot in robots for run in self._names(f"writers/{robot}")]
        self._look_again = self.clock() + self.list_every
        return runs

    def _names(self, folder: str) -> list[str]:
        return [name for name in self.files.names(folder) if NAME.fullmatch(name)]

    def run(self, identity: RunIdentity) -> "RemoteRun":
        return RemoteRun(self, identity)


class RemoteRun:
    """The sealed segments of a run in a remote store. One thread."""

    def __init__(self, store: RemoteStore, identity: RunIdentity):
        self.identity = identity
        self._store, self._files = store, store.files
        self._path = f"writers/{identity.robot}/{identity.run}"
        self._look_again = -math.inf
        self._failing: dict[int, float] = {}  # segments that cannot be read, and since when

    def changed(self) -> bool:
        """Whether it is time to look for `sources` again."""
        return self._store.clock() >= self._look_again

    def sources(self) -> list[int]:
        """First rows of the segments, ascending. Raises StoreUnreachable."""
        matches = map(SEGMENT.fullmatch, self._files.names(f"{self._path}/segments"))
        self._look_again = self._store.clock() + self._store.list_every
        return sorted(int(match[1]) for match in matches if match)

    def load(self, first_row: int) -> Records:
        """A whole segment; NotYetWhole, CorruptSegment or StoreUnreachable."""
        folder = self._segment(first_row)
        found = self._files.read_all(f"{folder}/{name}" for name in self._usual_files())

        def read(name: str, limit: int, start: int = 0) -> bytes:
            whole = found.get(f"{folder}/{name}")
            if whole is None:
                return self._files.read(f"{folder}/{name}", limit, start)
            return whole[start : start + limit]

        source = f"{self._files.url}/{folder}"  # zarr opens it itself if it has to
        try:
            records = parse_segment(read, source, self.identity, first_row)
        except CorruptSegment as error:
            since = self._failing.setdefault(first_row, self._store.clock())
            if self._store.clock() - since < self._store.patience:
                raise NotYetWhole(f"waiting for a copy that is whole: {error}") from error
            raise
        self._failing.pop(first_row, None)
        return records

    def _usual_files(self) -> list[str]:
        """Those of a segment as a writer makes them, to be fetched at once."""
        specs = [spec for spec, _, _ in columns(self.identity.schema, 1, 1)]
        return ["zarr.json", *(n for s in specs for n in (f"{s.name}/zarr.json", s.key(0)))]

    def journal(self, first_row: int) -> JournalTail:
        """A copy has no journals to read."""
        raise FileNotFoundError(self._segment(first_row))

    def rows_in(self, first_row: int) -> int:
        """Rows of a segment, as it says; 0 if it does not."""
        read = partial(self._read_below, self._segment(first_row))
        try:
            return int(read_attributes(read, "")[ATTRIBUTE]["rows"])
        except (OSError, ValueError, LookupError, TypeError):
            return 0

    def _read_below(self, folder: str, name: str, limit: int) -> bytes:
        return self._files.read(f"{folder}/{name}", limit)

    def retained_row(self) -> int:
        """Rows before this one were dropped on purpose."""
        return parse_retained(partial(self._files.read, f"{self._path}/{RETAINED}"))

    def _segment(self, first_row: int) -> str:
        return f"{self._path}/segments/{first_row:012d}"
