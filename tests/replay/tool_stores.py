"""Stores for the tests of the tools: closed ones, one as a crash leaves it, and their runs."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from replay_rows import SCHEMA, log_rows

from porl_ros.replay import ReplaySchema, ReplayWriter
from porl_ros.replay.disk.layout import RunFolder, read_schema
from porl_ros.replay.schema import RunIdentity
from porl_ros.replay.tools.check import RunCheck, check_run
from porl_ros.replay.tools.runs import runs_of

NOBODY = 65534  # the user
ROWS = 75  # two segments of 30, and 15 in a segment or a journal


def record(
    store: Path, run: str = "one", rows: int = ROWS, robot: str = "arm",
    schema: ReplaySchema = SCHEMA,
) -> Path:  # fmt: skip
    """Record a run in segments of 30 rows, and close it."""
    with ReplayWriter(store, schema, robot, run, 60.0, 30) as writer:
        for _ in range(rows // 5):
            log_rows(writer, 5)
            writer.flush()
        log_rows(writer, rows % 5)
    return store


def record_and_crash(store: Path) -> Path:
    """The same run as a crash leaves it: two segments, and a journal of three blocks."""
    original = store.with_name(f"{store.name}-original")
    with ReplayWriter(original, SCHEMA, "arm", "one", 60.0, 30) as writer:
        for _ in range(ROWS // 5):
            log_rows(writer, 5)
            writer.flush()
        wait_for(lambda: len(list(original.glob("writers/arm/one/journal/*.wal"))) == 1)
        shutil.copytree(original, store)
    shutil.rmtree(original)
    return store


@contextlib.contextmanager
def read_only_copy(store: Path, change: Callable[[Path], None]) -> Iterator[Path]:
    """A copy, changed and then on a disk that takes nothing more, also from root."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(store, Path(folder) / "store"))
        change(copy)
        for path in [Path(folder), copy, *copy.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            if user == 0:
                os.seteuid(NOBODY)
            yield copy
        finally:
            os.seteuid(user)
            for path in [Path(folder), copy, *copy.rglob("*")]:
                path.chmod(0o755)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A real disk that is soon full, mounted at `folder`; needs root, else the test is skipped."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def run_of(store: Path, robot: str = "arm", run: str = "one") -> tuple[RunFolder, RunIdentity]:
    return RunFolder(store, robot, run), RunIdentity(read_schema(store), robot, run)


def checks(store: Path) -> list[RunCheck]:
    return [check_run(*run) for run in runs_of(store, read_schema(store))]


def segment(store: Path, first_row: int) -> Path:
    return run_of(store)[0].segment(first_row)


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store, to see that nothing has changed."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


def flip(path: Path, at: float = 0.5) -> None:
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[min(len(data) - 1, int(len(data) * at))] ^= 1
    path.write_bytes(data)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Bit for bit."""
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()
