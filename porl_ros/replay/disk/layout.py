"""Where things lie in a store, and how they are put there so that a power cut cannot undo them."""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from porl_ros.replay.disk.arrays import write_file
from porl_ros.replay.errors import (
    ContractMismatch,
    InvalidName,
    NewerFormat,
    StoreFormatError,
    StoreMissing,
)
from porl_ros.replay.schema import FORMAT_VERSION, ReplaySchema
from porl_ros.robot.contract import first_difference

ATTRIBUTE = "porl_replay"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SEGMENT = re.compile(r"(\d{12})")
JOURNAL = re.compile(r"(\d{12})\.wal")
HEAP = ".img"
ROOT_TEMPORARY = "zarr.json.tmp"
SYNCS = 8  # at a time
LARGEST_ROOT = 1 << 20  # bytes: far above any schema, small enough to read without thinking


def check_name(field: str, value: str) -> str:
    """Return `value` if it may become a folder name, else raise InvalidName."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise InvalidName(
            f"{field}: {value!r} must be 1 to 80 of A-Z a-z 0-9 . _ - and begin with "
            "a letter or digit; rename it"
        )
    return value


def names_in(folder: Path) -> list[str]:
    """Names in a folder that can be ours, sorted; empty if there is no such folder."""
    try:
        return sorted(name for name in os.listdir(folder) if NAME.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


class RunFolder:
    """The folder of one run: `segments/`, `journal/` and `lock`."""

    def __init__(self, store: Path, robot: str, run: str):
        self.path = store / "writers" / check_name("robot", robot) / check_name("run", run)
        self.segments = self.path / "segments"
        self.journal = self.path / "journal"
        self.lock = self.path / "lock"

    def segment(self, first_row: int) -> Path:
        return self.segments / f"{first_row:012d}"

    def wal(self, first_row: int) -> Path:
        return self.journal / f"{first_row:012d}.wal"

    def heap(self, first_row: int) -> Path:
        """The images of a journal's rows, if the schema has any."""
        return self.wal(first_row).with_suffix(HEAP)

    def segment_rows(self) -> list[int]:
        """First rows of the sealed segments, ascending."""
        return _numbers(self.segments, SEGMENT)

    def journal_rows(self) -> list[int]:
        """First rows of the journals, ascending."""
        return _numbers(self.journal, JOURNAL)


def _numbers(folder: Path, pattern: re.Pattern[str]) -> list[int]:
    matches = (pattern.fullmatch(name) for name in names_in(folder))
    return [int(match[1]) for match in matches if match]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder)


def _sync(path: Path | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make a folder, and every file and folder below it, durable."""
    paths = [folder] + [
        os.path.join(parent, name)
        for parent, folders, files in os.walk(folder)
        for name in folders + files
    ]
    # Beside one another: a disk that others use, too, then makes most of them durable in one go
    with ThreadPoolExecutor(SYNCS) as pool:
        for _ in pool.map(_sync, paths):
            pass


def make_folder(folder: Path) -> None:
    """mkdir -p, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def replace_file(path: Path, text: str) -> None:
    """Write a file durably: whoever reads it finds the old text or the new one. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)  # of one that was cut short
    write_file(temporary, text.encode(), sync=True)
    temporary.rename(path)
    sync_folder(path.parent)


def set_aside(path: Path) -> Path:
    """Rename something damaged so that nobody reads it as good, and nobody loses it."""
    target = path.with_name(path.name + ".damaged")
    count = 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.{count}.damaged")
    path.rename(target)
    sync_folder(path.parent)
    return target


def drop_temporaries(folder: Path) -> None:
    """Remove what an interrupted seal left behind; only the holder of the run's lock may."""
    for path in folder.glob(".*.tmp"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder while setting something up in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create_store(store: Path, schema: ReplaySchema) -> None:
    """Create the store if there is none, else check that it is one of this schema.

    Raises StoreFormatError (foreign folder, unreadable root), NewerFormat, ContractMismatch.
    """
    make_folder(store)
    with folder_lock(store):
        if not (store / "zarr.json").exists():
            _write_root(store, schema)
    require_same(store, read_schema(store), schema)


def _write_root(store: Path, schema: ReplaySchema) -> None:
    foreign = sorted(set(os.listdir(store)) - {"writers", ROOT_TEMPORARY})
    if foreign:
        raise StoreFormatError(
            f"store: {store} is not empty and not a replay store (it holds {foreign[0]!r}); "
            "name an empty or new folder"
        )
    make_folder(store / "writers")
    attributes = {ATTRIBUTE: schema.model_dump(mode="json")}
    group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    replace_file(store / "zarr.json", json.dumps(group, indent=2))


def read_schema(store: Path) -> ReplaySchema:
    """The schema of a store; raises StoreMissing, StoreFormatError or NewerFormat."""

    def read() -> bytes:
        with open(store / "zarr.json", "rb") as file:
            return file.read(LARGEST_ROOT)

    return parse_schema(read, store)


def parse_schema(read: Callable[[], bytes], store: object) -> ReplaySchema:
    """`read_schema` of a store whose root description is what `read` returns."""
    try:
        described = json.loads(read())["attributes"][ATTRIBUTE]
        version = described["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise NewerFormat(
                f"format_version: {store} has {version}, this release reads up to "
                f"{FORMAT_VERSION}; update porl_ros"
            )
        return ReplaySchema.model_validate(described)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreMissing(
            f"store: there is no replay store at {store}; `porl replay ls` finds those there are"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError, ValidationError) as error:
        raise StoreFormatError(
            f"store: {store}/zarr.json does not describe a replay store ({error}); restore it from "
            "another copy of this store, or name another folder"
        ) from error


def require_same(store: Path, found: ReplaySchema, wanted: ReplaySchema) -> None:
    """Raise ContractMismatch naming the first field in which a store's schema differs."""
    for field in (name for name in ReplaySchema.model_fields if name != "format_version"):
        ours, theirs = getattr(wanted, field), getattr(found, field)
        if ours != theirs:
            where = first_difference(wanted.contract, found.contract)
            raise mismatch(store, field, theirs, ours, where)


def mismatch(
    store: Path, field: str, found: object, wanted: object, where: str = ""
) -> ContractMismatch:
    """The error for a store of another contract; `where` names the part of it that differs."""
    return ContractMismatch(
        f"{field}: the store {store} was recorded with {found!r}, this contract has {wanted!r}"
        + (f"; the first difference is at {where}" if where else "")
        + "; name another store folder, or use the contract it was recorded with"
    )
