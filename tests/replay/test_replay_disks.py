"""Real disks that fail: the power is cut, they are full, they may not be written.

These mount file systems of their own, so they need root, and a kernel that lets it.

    PORL_REPLAY_DISK_CUTS=20 pytest tests/replay/test_replay_disks.py -s     # the long form
"""

import contextlib
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows, make_row
from robots import Robot

from porl_ros.replay import ReplayWriter, read_store
from porl_ros.replay.errors import RecordingStopped, StoreNotWritable

CUTS = int(os.environ.get("PORL_REPLAY_DISK_CUTS", "3"))
SHUTDOWN = 0x8004587D  # the ioctl of ext4 that stops all writing to the disk at once
NOLOGFLUSH = 2  # not even what is in its journal already


def run(*command: object) -> None:
    """Run a command that needs rights; where it is refused the test is skipped."""
    try:
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"{command[0]}: {getattr(error, 'stderr', b'') or error}")


class Mount:
    """A folder where file systems are mounted; left empty."""

    def __init__(self, folder: Path):
        self.path = folder
        folder.mkdir()

    def mount(self, *arguments: object) -> None:
        run("mount", *arguments, self.path)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mount]:
    mount = Mount(tmp_path / "disk")
    yield mount
    if mount.path.is_mount():  # lazily: a test that failed may still have files open
        subprocess.run(["umount", "--lazy", str(mount.path)], check=True, capture_output=True)


def make_image(folder: Path) -> Path:
    """A disk of 64 MiB in a file."""
    image = folder / "image"
    with open(image, "wb") as file:
        file.truncate(1 << 26)
    run("mkfs.ext4", "-q", image)
    return image


def cut_power(disk: Mount) -> None:
    """From here on nothing reaches the disk; what it had not got yet is lost."""
    folder = os.open(disk.path, os.O_RDONLY)
    try:
        fcntl.ioctl(folder, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
    finally:
        os.close(folder)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_power_cut_loses_nothing_acknowledged(disk, tmp_path):
    image, random = make_image(tmp_path), np.random.default_rng(5)
    store, kept, waited = disk.path / "store", 0, []
    for _ in range(CUTS):
        disk.mount("-o", "loop", image)
        with Robot(store, "arm", 0.001, 0.1, 150) as robot:
            rows = int(random.integers(1, 1000))
            while robot.listen().rows < rows:
                pass
            cut_power(disk)
            robot.kill()
        disk.unmount()
        disk.mount("-o", "loop", image)
        found = check_rows(read_store(store), cut=True) - kept
        assert robot.lines[-1].acknowledged <= found <= robot.lines[-1].rows + 1
        waited.append(robot.waited(found))
        with ReplayWriter(store, SCHEMA, "arm") as writer:
            log_rows(writer, 10)
        kept += found + 10
        assert check_rows(read_store(store), cut=True) == kept
        assert not list(store.rglob("*.wal*"))
        disk.unmount()
    print(f"{CUTS} power cuts, rows lost had waited at most {1e3 * max(waited):.0f} ms")


def test_a_disk_that_hangs_is_waited_for_and_control_goes_on(disk, tmp_path):
    disk.mount("-o", "loop", make_image(tmp_path))
    spent = []
    with ReplayWriter(disk.path / "store", SCHEMA, "arm", "one", 0.01) as writer:
        log_rows(writer, 10)
        writer.flush()
        run("fsfreeze", "--freeze", disk.path)  # whoever writes to it sleeps
        try:
            for _ in range(2000):
                row = make_row(writer.rows)
                start = time.perf_counter()
                writer.log(**row)
                spent.append(time.perf_counter() - start)
            with pytest.raises(TimeoutError):
                writer.flush(timeout=0.05)
            assert (writer.acknowledged, writer.fault) == (10, None)
        finally:
            run("fsfreeze", "--unfreeze", disk.path)
        writer.flush()
        assert writer.acknowledged == 2010
    assert np.median(spent) < 0.001
    assert max(spent) < 0.5
    assert check_rows(read_store(disk.path / "store"), cut=True) == 2010


def test_a_full_disk_stops_recording_and_nothing_else(disk):
    disk.mount("-t", "tmpfs", "-o", "size=256k", "none")
    store, spent = disk.path / "store", []
    with ReplayWriter(store, SCHEMA, "arm", "one", 0.01) as writer:
        while writer.fault is None:
            start = time.perf_counter()
            writer.log(**make_row(writer.rows))
            spent.append(time.perf_counter() - start)
        assert "No space left on device" in writer.fault
        assert writer.log(**make_row(0)) == -1
        with pytest.raises(RecordingStopped):
            writer.flush()
        assert check_rows(read_store(store)) == writer.acknowledged > 0
    assert np.median(spent) < 0.001
    assert max(spent) < 0.5
    assert check_rows(read_store(store), cut=True) == writer.acknowledged
    filler = disk.path / "filler"
    fill(filler)
    with pytest.raises(StoreNotWritable, match="No space left"):
        ReplayWriter(store, SCHEMA, "arm", "two")
    assert check_rows(read_store(store), cut=True) == writer.acknowledged
    filler.unlink()
    disk.mount("-t", "tmpfs", "-o", "remount,size=4m", "none")
    with ReplayWriter(store, SCHEMA, "arm") as second:
        log_rows(second, 10)
    assert check_rows(read_store(store), cut=True) == writer.acknowledged + 10


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_read_only_disk_is_named_and_can_be_read(disk):
    disk.mount("-t", "tmpfs", "-o", "size=1m", "none")
    store = disk.path / "store"
    with ReplayWriter(store, SCHEMA, "arm") as writer:
        log_rows(writer, 10)
    disk.mount("-o", "remount,ro")
    for place in (store, disk.path / "other"):
        with pytest.raises(StoreNotWritable, match="Read-only file system"):
            ReplayWriter(place, SCHEMA, "arm")
    assert check_rows(read_store(store), cut=True) == 10


def test_a_disk_that_dies_stops_recording_and_nothing_else(disk, tmp_path):
    disk.mount("-o", "loop", make_image(tmp_path))
    with ReplayWriter(disk.path / "store", SCHEMA, "arm", "one", 60.0) as writer:
        log_rows(writer, 70)
        writer.flush()
        cut_power(disk)
        log_rows(writer, 1)
        with pytest.raises(RecordingStopped, match="Input/output error"):
            writer.flush()
        assert writer.log(**make_row(0)) == -1
    assert writer.acknowledged == 70
