"""Where a reader begins and goes on: cursors, the newest rows only, rows that were dropped."""

import contextlib
import json
import os
import resource
import shutil
from multiprocessing import get_context

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows
from tool_stores import run_of, segment

from porl_ros.replay import ReplayReader, ReplayWriter, Retention
from porl_ros.replay.disk.retention import Pruner, drop_segment
from porl_ros.replay.disk.segment import reading
from porl_ros.replay.errors import RowsGone, StoreUnreachable


def record(store, run: str, rows: int, robot: str = "arm") -> None:
    """In segments of 30 rows."""
    with ReplayWriter(store, SCHEMA, robot, run, 60.0, 30) as writer:
        for _ in range(rows // 30):
            log_rows(writer, 30)
            writer.flush()
        log_rows(writer, rows % 30)


@pytest.fixture(scope="module")
def three_runs(tmp_path_factory):
    """Runs of 150, 40 and 95 rows."""
    store = tmp_path_factory.mktemp("three") / "store"
    for run, rows in (("a", 150), ("b", 40), ("c", 95)):
        record(store, run, rows)
    return store


def numbers(chunks, run: str) -> list[int]:
    """The row numbers of a run."""
    parts = [range(c.first_row, c.first_row + len(c.rows)) for c in chunks if c.run == run]
    return [number for part in parts for number in part]


def finals(chunks) -> list[int]:
    return [int(row) for chunk in chunks for row in chunk.finals["row"]]


@pytest.mark.parametrize("limit", [5, 31, None])
def test_a_cursor_goes_on_where_another_reader_stopped(three_runs, limit):
    chunks, cursor = [], {}
    while sum(len(chunk.rows) for chunk in chunks) < 285:
        with ReplayReader(three_runs, cursor=cursor) as reader:
            chunks += reader.poll(limit)
            assert reader.faults == []
            cursor = json.loads(json.dumps(reader.cursor()))
    assert cursor == {"arm/a": [150, 147], "arm/b": [40, 35], "arm/c": [95, 91]}
    assert check_rows(chunks, cut=True) == 285
    assert sorted(finals(chunks)) == sorted(n for end in (150, 40, 95) for n in range(6, end, 7))


@pytest.mark.parametrize("segment_rows", [10, 100])  # with its row, or in a segment of its own
@pytest.mark.parametrize("sealed", [True, False])
def test_a_final_that_comes_after_the_cursor_is_not_lost(store, open_writer, sealed, segment_rows):
    writer = open_writer(run="one", segment_rows=segment_rows)
    log_rows(writer, 10)
    writer.flush()
    with ReplayReader(store) as reader:
        assert check_rows(reader.poll()) == 10
        cursor = reader.cursor()
    assert cursor == {"arm/one": (10, 7)}
    writer.end_episode(np.ones(3))
    if sealed:
        writer.close()
    else:
        writer.flush()
    with ReplayReader(store, cursor=cursor) as reader:
        (late,) = reader.poll()
        assert (late.first_row, len(late.rows), finals([late])) == (10, 0, [9])
        assert reader.cursor() == {"arm/one": (10, 10)}
        assert reader.poll() == []


def test_a_cursor_may_lie_in_a_journal_that_is_sealed_meanwhile(store, open_writer):
    writer = open_writer(run="one", segment_rows=30)
    log_rows(writer, 40)
    writer.flush()
    with ReplayReader(store) as reader:
        reader.poll(35)
        cursor = reader.cursor()
    log_rows(writer, 40)
    writer.close()
    with ReplayReader(store, cursor=cursor) as reader:
        assert numbers(reader.poll(), "arm/one") == list(range(35, 80))


@pytest.mark.parametrize("cursor", [{"arm/one": [1]}, {"arm/one": ["x", 0]}, {"arm/one": 3}])
def test_what_is_no_cursor_is_refused(store, cursor):
    record(store, "one", 10)
    with pytest.raises((TypeError, ValueError)):
        ReplayReader(store, cursor=cursor)


@pytest.mark.parametrize("newest", [0, 1, 29, 30, 31, 100, 129, 400, 10_000])
def test_only_the_newest_rows(three_runs, newest):
    with ReplayReader(three_runs, newest=newest) as reader:
        chunks = reader.poll()
        assert reader.faults == []
        assert min(newest, 285) <= reader.rows_read < newest + 30
        assert reader.skipped == 285 - reader.rows_read
    check_rows(chunks, cut=True)
    kept = {run: numbers(chunks, f"arm/{run}") for run in "abc"}
    assert kept["c"] == list(range(95 - len(kept["c"]), 95))
    if newest < 60:  # the latest run is enough
        assert kept["a"] == kept["b"] == []


def test_what_is_written_later_comes_though_the_older_rows_are_skipped(store, open_writer):
    record(store, "a", 90)
    writer = open_writer(run="b", segment_rows=1000)
    log_rows(writer, 50)
    writer.flush()
    with ReplayReader(store, newest=0) as reader:
        # What is in a journal is not counted, and read
        assert numbers(reader.poll(), "arm/b") == list(range(50))
        assert reader.skipped == 90
        log_rows(writer, 20)
        writer.flush()
        assert numbers(reader.poll(), "arm/b") == list(range(50, 70))
        record(store, "c", 10)
        assert numbers(reader.poll(), "arm/c") == list(range(10))
        assert reader.faults == []


def test_a_robots_runs_come_in_the_order_of_their_names(store):
    for run in ("c", "a", "b"):
        record(store, run, 60)
    record(store, "z", 60, robot="left")
    reader, chunks = ReplayReader(store), []
    while found := reader.poll(25):
        chunks += found
    assert check_rows(chunks, cut=True) == 240
    order = [chunk.run for chunk in chunks if chunk.run.startswith("arm")]
    assert order == sorted(order)
    assert {chunk.run[:4] for chunk in chunks[:2]} == {"arm/", "left"}  # no robot waits


def test_rows_that_were_dropped_are_no_fault(store):
    record(store, "one", 150)
    with ReplayReader(store) as reader:
        for first_row in (0, 30):
            assert drop(store, first_row)
        assert numbers(reader.poll(), "arm/one") == list(range(60, 150))
        assert (reader.dropped, reader.faults) == (60, [])


def test_what_was_dropped_and_what_is_lost_are_told_apart(store):
    record(store, "one", 150)
    assert drop(store, 0)
    shutil.rmtree(segment(store, 30))  # by nobody who says so
    with ReplayReader(store) as reader:
        assert numbers(reader.poll(), "arm/one") == list(range(60, 150))
        assert reader.dropped == 30
        assert reader.faults == ["rows 30 to 59 of arm/one are lost"]


def test_rows_that_are_dropped_while_they_are_read_are_whole_or_not_there(store):
    record(store, "one", 150)
    with ReplayReader(store) as reader:
        chunks = reader.poll(10)  # the first segment is read, and in part delivered
        with reading(segment(store, 30)):
            assert not drop(store, 30)
        for first_row in (0, 30, 60):
            assert drop(store, first_row)
        chunks += reader.poll()
        assert numbers(chunks, "arm/one") == [*range(30), *range(90, 150)]
        assert check_rows(chunks, cut=True) == 90
        assert (reader.dropped, reader.faults) == (60, [])


def drop(store, first_row: int) -> bool:
    plan = Pruner(store, "arm", Retention(max_bytes=1)).plan()
    return drop_segment(run_of(store)[0], next(s for s in plan if s.first_row == first_row))


@pytest.mark.slow
def test_a_reader_that_is_overtaken_by_retention_loses_nothing_else(store):
    """The writer drops what the reader, which reads a quarter as fast, has not seen yet."""
    rows, chunks, limits = 400, [], Retention(max_bytes=60_000)
    with ReplayWriter(store, SCHEMA, "arm", "one", 60.0, 20, retention=limits) as writer:
        reader = ReplayReader(store)
        for _ in range(rows // 20):
            log_rows(writer, 20)
            writer.flush()
            chunks += reader.poll(5)
    while found := reader.poll():
        chunks += found
    assert reader.faults == []
    assert reader.dropped > 0
    assert check_rows(chunks, cut=True) == reader.rows_read == rows - reader.dropped


def test_too_many_open_files_lose_nothing(store):
    """In a process of its own, where nobody else opens or closes files meanwhile."""
    for robot in ("arm", "left"):
        record(store, "one", 150, robot)
    alone = get_context("spawn").Process(target=read_without_descriptors, args=[store])
    alone.start()
    alone.join(120.0)
    assert alone.exitcode == 0


def read_without_descriptors(store) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    readers = [ReplayReader(store), ReplayReader(store, cursor={"arm/one": [20, 14]})]
    chunks, fillers = [readers[0].poll(40), []], []
    highest = max(map(int, os.listdir("/proc/self/fd")))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, limits[1]))
        fillers = fill_descriptors()
        with contextlib.suppress(StoreUnreachable):
            chunks[0] += readers[0].poll()  # what is in memory already may come
        for reader in readers * 3:
            fillers += fill_descriptors()  # with one that was let go since, a reader gets along
            with pytest.raises(StoreUnreachable, match="Too many open files"):
                reader.poll()
    finally:
        for descriptor in fillers:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for reader, found, rows in zip(readers, chunks, (300, 280), strict=True):
        assert check_rows(found + reader.poll(), cut=True) == rows
        assert reader.faults == []


def fill_descriptors() -> list[int]:
    """Open files until no more can be."""
    opened = []
    while True:
        try:
            opened.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return opened


def test_rows_can_be_had_once_more(store):
    record(store, "one", 100)
    with ReplayReader(store) as reader:
        assert check_rows(reader.poll(), cut=True) == 100
        again = list(reader.replay("arm/one", 40, 75, 70))
        assert numbers(again, "arm/one") == list(range(40, 75))
        assert finals(again) == [41, 48, 55, 62, 69]
        more = list(reader.replay("arm/one", 75, 80, 77))
        assert numbers(more, "arm/one") == list(range(75, 80))
        assert finals(more) == [76]
        assert numbers(reader.poll(), "arm/one") == list(range(80, 100))
        with pytest.raises(RowsGone, match="has no arm/two"):
            list(reader.replay("arm/two", 0, 1, 0))
