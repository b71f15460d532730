"""The reader follows growing runs: every row once, in order, whatever the writer does meanwhile."""

import os
import shutil
import threading
import time

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows, make_row

from porl_ros.replay import ReplayReader, ReplayWriter, read_store
from porl_ros.replay.errors import ContractMismatch, StoreFormatError, StoreMissing


def poll_until(reader, rows, limit=None, seconds=20.0):
    """Poll until so many rows came; the chunks."""
    chunks, deadline = [], time.monotonic() + seconds
    while reader.rows_read < rows:
        found = reader.poll(limit)
        assert limit is None or sum(len(chunk.rows) for chunk in found) <= limit
        chunks += found
        assert time.monotonic() < deadline, f"{reader.rows_read} of {rows} rows came"
    return chunks


def test_there_must_be_a_store(store):
    with pytest.raises(StoreMissing, match="no replay store"):
        ReplayReader(store)
    store.mkdir()
    (store / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with pytest.raises(StoreFormatError):
        ReplayReader(store)


def test_new_rows_come_once(store, open_writer):
    writer = open_writer(run="one")
    reader = ReplayReader(store, contract_hash="c0ffee")
    assert reader.poll() == []
    for count in (5, 1, 30):
        log_rows(writer, count)
        writer.flush()
        assert sum(len(chunk.rows) for chunk in reader.poll()) == count
        assert reader.poll() == []
    assert reader.runs() == ["arm/one"]
    assert reader.rows_read == 36


def test_a_late_final_is_delivered_after_its_row(store, open_writer):
    writer, reader = open_writer(), None
    log_rows(writer, 3)
    writer.flush()
    reader = ReplayReader(store)
    (chunk,) = reader.poll()
    assert len(chunk.finals) == 0
    writer.end_episode(np.ones(3))
    writer.flush()
    (late,) = reader.poll()
    assert (len(late.rows), late.finals["row"].tolist()) == (0, [2])


@pytest.mark.parametrize("sealed", [True, False])
def test_limit_keeps_finals_with_their_rows(store, open_writer, sealed):
    writer = open_writer()
    log_rows(writer, 21)
    writer.close() if sealed else writer.flush()
    reader = ReplayReader(store)
    chunks = poll_until(reader, 21, limit=4)
    assert check_rows(chunks) == 21
    for chunk in chunks:
        own = set(range(chunk.first_row, chunk.first_row + len(chunk.rows)))
        assert set(chunk.finals["row"].tolist()) == own & {6, 13, 20}


@pytest.mark.parametrize("limit", [None, 37])
def test_every_row_once_while_writers_log_and_seal(store, limit):
    rows, robots = 1200, ("left", "right")
    writers = [ReplayWriter(store, SCHEMA, robot, None, 0.002, 100) for robot in robots]

    def record(writer):
        pause = threading.Event()
        with writer:
            for number in range(rows):
                writer.log(**make_row(number))
                if number % 20 == 0:
                    pause.wait(0.002)

    reader = ReplayReader(store)
    threads = [threading.Thread(target=record, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    chunks = poll_until(reader, rows * len(robots), limit)
    for thread in threads:
        thread.join()
    chunks += reader.poll()
    assert check_rows(chunks) == rows * len(robots)
    for run in reader.runs():
        numbers = [chunk.first_row for chunk in chunks if chunk.run == run and len(chunk.rows)]
        assert numbers == sorted(numbers)
        assert sum(len(chunk.finals) for chunk in chunks if chunk.run == run) == rows // 7
    assert reader.faults == []
    assert check_rows(read_store(store), cut=True) == rows * len(robots)


def test_a_limit_does_not_starve_other_runs(store, open_writer):
    for robot in ("left", "right"):
        with open_writer(robot) as writer:
            log_rows(writer, 50)
    reader = ReplayReader(store)
    chunks = reader.poll(limit=10) + reader.poll(limit=10)
    assert [chunk.run.split("/")[0] for chunk in chunks] == ["left", "right"]


def test_a_vanished_store_is_waited_for(store, open_writer, caplog):
    writer = open_writer()
    log_rows(writer, 10)
    writer.close()
    reader = ReplayReader(store, "c0ffee")
    aside = store.rename(store.with_name("aside"))
    assert reader.poll() == []
    assert reader.poll() == []
    assert caplog.text.count("has vanished") == 1
    aside.rename(store)
    assert check_rows(reader.poll(), cut=True) == 10
    shutil.rmtree(store)
    assert reader.poll() == []
    ReplayWriter(store, SCHEMA.model_copy(update={"contract_hash": "beef"}), "arm").close()
    with pytest.raises(ContractMismatch):
        reader.poll()


def test_finished_runs_hold_no_files_open(store, open_writer):
    open_writer().close()
    reader = ReplayReader(store)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with open_writer() as writer:
            log_rows(writer, 10)
            writer.flush()
            reader.poll()
        reader.poll()
    assert len(os.listdir("/proc/self/fd")) == before
    assert reader.rows_read == 50


def test_closing_ends_the_threads_that_read_ahead(store):
    with ReplayWriter(store, SCHEMA, "arm", "one", 60.0, 10) as writer:
        for _ in range(6):
            log_rows(writer, 10)
            writer.flush()

    before = set(threading.enumerate())  # readers of other tests may have some

    def reading_ahead():
        return set(threading.enumerate()) - before

    with ReplayReader(store) as reader:
        assert not reading_ahead()  # nothing is ahead as yet
        assert check_rows(reader.poll(15), cut=True) == 15
        assert reading_ahead()
        assert check_rows(reader.poll(), cut=True) == 45
    assert not reading_ahead()


def test_an_idle_poll_is_cheap(store, open_writer):
    writer = open_writer()
    log_rows(writer, 10)
    writer.flush()
    reader, spent = ReplayReader(store), []
    poll_until(reader, 10)
    for _ in range(2000):
        start = time.perf_counter()
        reader.poll()
        spent.append(time.perf_counter() - start)
    assert np.median(spent) < 300e-6
