"""Oldest segments are dropped whole, on the record, and never from under a reader."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from replay_rows import SCHEMA, check_rows, log_rows
from tool_stores import checks, contents, record, run_of, segment, wait_for

from porl_ros.replay import ReplayReader, ReplayWriter, Retention, read_store
from porl_ros.replay.disk.recovery import run_lock
from porl_ros.replay.disk.retention import Pruner, retained_row, size_of

PRUNER = Path(__file__).with_name("killed_prune.py")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A run of 150 rows in five segments."""
    return record(tmp_path_factory.mktemp("recorded") / "store", rows=150)


@pytest.fixture
def store(recorded, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(recorded, tmp_path / "store"))


@pytest.fixture
def new(tmp_path) -> Path:
    """Where a store can be made."""
    return tmp_path / "new"


def size(store: Path) -> int:
    return sum(size_of(path) for path in store.glob("writers/arm/*/segments"))


def first_rows(store: Path, run: str = "one") -> list[int]:
    return run_of(store, run=run)[0].segment_rows()


@pytest.mark.parametrize("limits", [{"max_bytes": 0}, {"max_age": -1.0}, {"max_byte": 5}])
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(ValidationError):
        Retention(**limits)


def test_without_limits_nothing_is_dropped(store):
    assert Pruner(store, "arm", Retention()).apply() == []


def test_oldest_segments_go_until_the_size_fits(store):
    before = contents(store)
    limit = size(store) // 2
    pruner = Pruner(store, "arm", Retention(max_bytes=limit))
    planned = pruner.plan()
    assert contents(store) == before
    assert pruner.apply() == planned
    assert 0 < size(store) <= limit
    assert size(store) + planned[-1].bytes > limit  # no more than had to go
    kept = first_rows(store)
    assert kept == list(range(kept[0], 150, 30))
    assert retained_row(run_of(store)[0]) == kept[0]
    assert pruner.apply() == []


def test_what_is_dropped_is_no_fault_and_no_loss(store):
    Pruner(store, "arm", Retention(max_bytes=size(store) // 2)).apply()
    kept = first_rows(store)[0]
    (found,) = checks(store)
    assert (found.rows, found.faults, found.notes, found.gaps) == (150 - kept, [], [], [])
    with ReplayReader(store) as reader:
        assert check_rows(reader.poll(), cut=True) == 150 - kept
        assert reader.faults == []


def test_age_counts_from_the_seal(store):
    for number, first_row in enumerate(first_rows(store)):
        sealed = time.time() - (5 - number) * 1000
        os.utime(segment(store, first_row), (sealed, sealed))
    dropped = Pruner(store, "arm", Retention(max_age=3500.0)).apply()
    assert [entry.first_row for entry in dropped] == [0, 30]
    assert first_rows(store) == [60, 90, 120]


def test_the_newest_segment_of_a_run_stays_whatever_the_limit(store):
    Pruner(store, "arm", Retention(max_bytes=1, max_age=1e-9)).apply()
    assert first_rows(store) == [120]


def test_runs_go_in_the_order_of_their_age_and_other_robots_are_left_alone(new):
    for run, robot in (("newer", "arm"), ("older", "arm"), ("one", "leg")):
        record(new, run, rows=40, robot=robot)
    for first_row in (0, 30):
        os.utime(run_of(new, run="older")[0].segment(first_row), (1.0, 1.0))
    plan = Pruner(new, "arm", Retention(max_bytes=1)).plan()
    assert [(entry.run, entry.first_row) for entry in plan] == [("older", 0), ("newer", 0)]


def test_a_segment_that_is_read_stays_and_so_do_those_after_it(store):
    pruner = Pruner(store, "arm", Retention(max_bytes=1))
    descriptor = os.open(segment(store, 30), os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        assert [entry.first_row for entry in pruner.apply()] == [0]
        assert first_rows(store) == [30, 60, 90, 120]
    finally:
        os.close(descriptor)
    assert [entry.first_row for entry in pruner.apply()] == [30, 60, 90]


def test_a_segment_whose_journal_is_left_waits_for_the_recovery(store):
    """Dropped before, the recovery would seal it once more."""
    folder, _ = run_of(store)
    folder.wal(0).touch()
    pruner = Pruner(store, "arm", Retention(max_bytes=1))
    assert pruner.apply() == []
    with run_lock(folder):
        folder.wal(0).unlink()
    assert [entry.first_row for entry in pruner.apply()][:1] == [0]


def test_a_writer_keeps_its_robot_within_the_limit_while_it_records(store):
    limit = size(store)
    retention = Retention(max_bytes=limit)
    with ReplayWriter(store, SCHEMA, "arm", "two", 60.0, 30, retention=retention) as writer:
        for _ in range(8):
            log_rows(writer, 30)
            writer.flush()
        assert writer.fault is None
    assert first_rows(store) == [120]
    assert first_rows(store, "two")[0] > 0
    assert size(store) <= limit
    assert all(found.faults == [] for found in checks(store))


def test_a_reader_that_follows_gets_every_row_that_it_is_in_time_for(new):
    retention = Retention(max_bytes=30_000)
    with ReplayWriter(new, SCHEMA, "arm", "one", 60.0, 30, retention=retention) as writer:
        reader, chunks = ReplayReader(new), []
        for _ in range(8):
            log_rows(writer, 30)
            writer.flush()
            chunks += reader.poll()
        wait_for(lambda: retained_row(run_of(new)[0]) > 0)
    chunks += reader.poll()
    reader.close()
    assert check_rows(chunks, cut=True) == 240
    assert reader.faults == []


def test_a_pruner_that_fails_does_not_stop_the_recording(new, monkeypatch, caplog):
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("porl_ros.replay.disk.retention.record_retained", broken)
    retention = Retention(max_bytes=1)
    with ReplayWriter(new, SCHEMA, "arm", "one", 60.0, 30, retention=retention) as writer:
        for _ in range(3):
            log_rows(writer, 30)
            writer.flush()
        assert writer.fault is None
    assert check_rows(read_store(new), cut=True) == 90
    assert "nothing dropped" in caplog.text


@pytest.mark.parametrize(
    "step", ["record_retained", "sync_folder", "shutil.rmtree", "Path.rename", "os.open"]
)
def test_cut_short_at_any_step_nothing_counts_as_lost(store, monkeypatch, step):
    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as context:
        context.setattr(f"porl_ros.replay.disk.retention.{step}", broken)
        with pytest.raises(OSError, match="Input/output"):
            Pruner(store, "arm", Retention(max_bytes=1)).apply()
    (found,) = checks(store)
    assert found.faults == []
    assert found.rows == 150 - retained_row(run_of(store)[0])
    Pruner(store, "arm", Retention(max_bytes=1)).apply()
    assert checks(store)[0].faults == []
    assert first_rows(store) == [120]


@pytest.mark.slow
def test_killed_while_it_drops_it_never_leaves_a_fault(new):
    """At whatever moment: what is left is kept or dropped on purpose, and never a loss."""
    record(new, rows=600)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    kept, random = [600], np.random.default_rng(1)
    while kept[-1] > 60 and len(kept) < 10:
        child = subprocess.Popen(
            [sys.executable, str(PRUNER), str(new)], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(int(random.integers(1, 5))):  # a line comes before each that it drops
            child.stdout.readline()
        time.sleep(random.random() * 0.005)  # anywhere within a drop
        child.kill()
        child.wait()
        child.stdout.close()
        (found,) = checks(new)
        assert found.faults == []
        assert retained_row(run_of(new)[0]) == 600 - found.rows
        kept.append(found.rows)
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < 600
    ReplayWriter(new, SCHEMA, "arm").close()
    assert not list(new.glob("writers/arm/one/segments/.*"))
    assert checks(new)[0].faults == []


def test_a_run_without_a_sealed_segment_stays_out_of_it(store):
    begun = ReplayWriter(store, SCHEMA, "arm", "begun")
    try:
        assert Pruner(store, "arm", Retention(max_bytes=size(store) // 2)).apply()
    finally:
        begun.close()
