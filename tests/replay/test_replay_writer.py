"""The writer: what it stores, what it refuses, and what it does when the disk fails."""

import errno
import gc
import os
import resource
import time
import tracemalloc

import numpy as np
import pytest
import zarr
from replay_rows import SCHEMA, check_rows, log_rows, make_row
from zarr.codecs import Crc32cCodec

from porl_ros.replay import ReplayReader, ReplaySchema, ReplayWriter, read_store
from porl_ros.replay.errors import (
    ContractMismatch,
    InvalidName,
    NewerFormat,
    RecordingStopped,
    RunExists,
    RunLocked,
    StoreFormatError,
    StoreNotWritable,
    WriterClosed,
)


def test_a_sealed_segment_is_an_ordinary_zarr_group(store, open_writer):
    with open_writer(run="one") as writer:
        log_rows(writer, 21)
    run = store / "writers" / "arm" / "one"
    group = zarr.open_group(run / "segments" / "000000000000", mode="r")
    assert group["observation"].shape == (21, 3)
    assert group["observation"].attrs["names"] == ["x", "y", "z"]
    for name in SCHEMA.row_dtype.names:
        expected = [make_row(number)[name] for number in range(21)]
        assert np.array_equal(group[name][...], np.array(expected, group[name].dtype))
    assert group["final_row"][...].tolist() == [6, 13, 20]
    assert group["final_observation"][1].tolist() == [13.25, -12.75, 0.75]
    assert not list((run / "journal").iterdir())
    assert zarr.open_group(store, mode="r").attrs["porl_replay"]["contract_hash"] == "c0ffee"


def test_a_segment_is_byte_for_byte_what_zarr_writes(store, open_writer, tmp_path):
    with open_writer(run="one") as writer:
        log_rows(writer, 21)
    segment = store / "writers/arm/one/segments/000000000000"
    ours = zarr.open_group(segment, mode="r")
    theirs = zarr.create_group(tmp_path / "theirs", attributes=dict(ours.attrs), zarr_format=3)
    for name, array in ours.arrays():
        theirs.create_array(
            name,
            data=array[...],
            chunks=array.shape,
            compressors=[Crc32cCodec()],
            filters=None,
            config={"write_empty_chunks": True},
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=array.metadata.dimension_names,
            attributes=dict(array.attrs),
        )
    files = sorted(path.relative_to(segment) for path in segment.rglob("*") if path.is_file())
    assert len(files) == 1 + 2 * 14
    for name in files:
        assert (segment / name).read_bytes() == (tmp_path / "theirs" / name).read_bytes(), name


def test_rows_are_readable_once_acknowledged(store, open_writer):
    writer = open_writer(flush_interval=60.0)
    log_rows(writer, 5)
    assert (writer.rows, writer.acknowledged) == (5, 0)
    writer.flush()
    assert writer.acknowledged == 5
    assert check_rows(read_store(store)) == 5


def test_request_flush_wakes_the_flusher(open_writer):
    writer = open_writer(flush_interval=60.0)
    log_rows(writer, 3)
    writer.request_flush()
    assert writer._flusher.wait_for(3, 0, timeout=10.0)


def test_a_late_end_truncates_the_row_that_is_logged_already(store, open_writer):
    writer = open_writer()
    writer.end_episode(np.zeros(3))  # none open: nothing to do
    log_rows(writer, 3)
    writer.end_episode(np.ones(3))
    writer.end_episode(np.zeros(3))
    writer.close()
    (chunk,) = read_store(store)
    assert chunk.rows["truncated"].tolist() == [0, 0, 1]
    assert chunk.rows["terminated"].tolist() == [0, 0, 0]
    assert [(f["row"], f["truncated"], f["observation"][0]) for f in chunk.finals] == [(2, 1, 1.0)]


def test_a_late_end_of_a_sealed_row_comes_in_a_later_segment(store, open_writer):
    writer = open_writer(segment_rows=3)
    log_rows(writer, 3)
    writer.flush()
    writer.end_episode(np.ones(3))
    writer.close()
    rows, late = read_store(store)
    assert (rows.rows["truncated"].tolist(), len(rows.finals)) == ([0, 0, 1], 0)
    assert (late.first_row, len(late.rows), late.finals["row"].tolist()) == (3, 0, [2])


def test_an_episode_left_open_at_close_is_truncated(store, open_writer):
    with open_writer() as writer:
        log_rows(writer, 4)
    (chunk,) = read_store(store)
    assert chunk.rows["truncated"].tolist() == [0, 0, 0, 1]
    assert len(chunk.finals) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("observation", np.zeros(4)),
        ("observation", [0.0, np.nan, 0.0]),
        ("observation", "three"),
        ("observation", None),
        ("action", np.zeros((2, 1))),
        ("requested_action", [0.0, np.inf]),
        ("reward", np.nan),
        ("reward", [1.0]),
        ("actor", 4),
        ("policy_version", 2**31),
        ("episode", -1),
        ("step", 0.5),
        ("stamp", None),
        ("final_observation", np.zeros(3)),
    ],
)
def test_a_bad_row_is_refused_by_field(store, open_writer, field, value):
    writer = open_writer()
    with pytest.raises(ValueError, match=f"^{field}:"):
        writer.log(**(make_row(0) | {field: value}))
    assert writer.rows == 0
    log_rows(writer, 10)
    writer.flush()
    assert check_rows(read_store(store)) == 10


def test_an_end_needs_a_final_observation(open_writer):
    writer = open_writer()
    with pytest.raises(ValueError, match="^final_observation:"):
        writer.log(**(make_row(0) | {"terminated": True}))
    with pytest.raises(ValueError, match="^final_observation:"):
        writer.end_episode([np.nan] * 3)


def test_closing_twice_is_harmless_and_logging_after_it_is_not(open_writer):
    writer = open_writer()
    writer.close()
    writer.close()
    with pytest.raises(WriterClosed):
        log_rows(writer, 1)


def test_one_writer_per_run(store, open_writer):
    first = open_writer(run="one")
    log_rows(first, 3)
    with pytest.raises(RunLocked, match="another writer"):
        open_writer(run="one")
    other = open_writer(run="two")  # recovers earlier runs, and leaves one that lives alone
    log_rows(first, 3)
    log_rows(other, 2)
    first.close()
    with pytest.raises(RunExists):
        open_writer(run="one")
    other.close()
    assert check_rows(read_store(store), cut=True) == 8


def test_another_contract_is_refused_by_both_hashes(store, open_writer):
    open_writer()
    with pytest.raises(ContractMismatch, match="^contract_hash:.*'c0ffee'.*'beef'"):
        open_writer(schema=SCHEMA.model_copy(update={"contract_hash": "beef"}))
    with pytest.raises(ContractMismatch, match="^action_names:"):
        open_writer(schema=SCHEMA.model_copy(update={"action_names": ("u", "w")}))
    with pytest.raises(ContractMismatch, match="'beef'"):
        ReplayReader(store, contract_hash="beef")


def test_a_newer_store_is_refused(store, open_writer):
    open_writer().close()
    root = store / "zarr.json"
    root.write_text(root.read_text().replace('"format_version": 1', '"format_version": 3'))
    for opener in (open_writer, lambda: ReplayReader(store)):
        with pytest.raises(NewerFormat, match="update porl_ros"):
            opener()


def test_a_foreign_folder_is_left_alone(store, open_writer):
    store.mkdir()
    (store / "holiday.jpg").touch()
    with pytest.raises(StoreFormatError, match=r"holiday\.jpg"):
        open_writer()
    assert [path.name for path in store.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "-x", "a" * 81, "a\n"])
def test_names_cannot_leave_the_store(open_writer, name):
    with pytest.raises(InvalidName, match="^robot:"):
        open_writer(robot=name)
    if name:
        with pytest.raises(InvalidName, match="^run:"):
            open_writer(run=name)


def test_schema_names_must_differ():
    with pytest.raises(ValueError, match="differ"):
        ReplaySchema(contract_hash="c", observation_names=("x", "x"), action_names=("u",))


def test_a_full_disk_stops_recording_and_nothing_else(store, open_writer, caplog):
    writer = open_writer(run="one")
    log_rows(writer, 50)
    writer.flush()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        log_rows(writer, 1000)  # the block is cut off at the limit
        with pytest.raises(RecordingStopped, match="disk failed"):
            writer.flush()
        assert writer.fault
        assert writer.log(**make_row(0)) == -1
        writer.end_episode(np.zeros(3))
        assert check_rows(read_store(store)) == writer.acknowledged == 50
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    writer.close()
    assert "recording stopped" in caplog.text
    open_writer()
    assert check_rows(read_store(store), cut=True) == 50


def test_a_seal_that_fails_leaves_the_journal(store, open_writer, monkeypatch, caplog):
    writer = open_writer(segment_rows=10)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("porl_ros.replay.disk.recovery.write_segment", full)
        log_rows(writer, 25)
        writer.flush()
        writer.close()
    assert writer.fault is None
    assert "not sealed" in caplog.text
    assert check_rows(read_store(store)) == 25
    open_writer()
    assert check_rows(read_store(store), cut=True) == 25
    assert len(list(store.glob("writers/*/*/segments/*"))) >= 1


def test_a_disk_that_never_answers_fills_the_buffer(open_writer, monkeypatch):
    monkeypatch.setattr("porl_ros.replay.writing.writer.BUFFER_ROWS", 8)
    monkeypatch.setattr("porl_ros.replay.writing.flush.Flusher._flush", lambda _: None)
    writer = open_writer()
    log_rows(writer, 8)
    assert writer.log(**make_row(8)) == -1
    assert "too slow" in writer.fault


def test_a_read_only_disk_is_named(store, open_writer, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(StoreNotWritable, match="Read-only"):
        open_writer()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(StoreNotWritable, match="may write"):
        ReplayWriter(tmp_path / "store", SCHEMA, "arm")


def test_logging_allocates_nothing_that_stays(open_writer):
    writer, traced = open_writer(segment_rows=1000), []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(20):
                log_rows(writer, 500)
                writer.flush()
            writer._flusher._sealer.submit(int).result()
            gc.collect()
            traced.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert traced[1] - traced[0] < 10_000 * 4  # far under a row's 61 bytes for each of 10,000


def test_logging_is_quick(open_writer):
    writer, spent = open_writer(), []
    for number in range(2000):
        row = make_row(number)
        start = time.perf_counter()
        writer.log(**row)
        spent.append(time.perf_counter() - start)
    assert np.median(spent) < 200e-6
