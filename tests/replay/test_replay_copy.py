"""Compact copies and merged stores: the same rows, bit for bit, in a store like any other."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from image_rows import SCHEMA as WITH_IMAGES
from image_rows import check_images, log_with_images
from replay_rows import SCHEMA, check_rows, log_rows
from tool_stores import (
    ROWS,
    checks,
    contents,
    flip,
    record,
    record_and_crash,
    run_of,
    same,
    segment,
    small_disk,
)

from porl_ros.errors import PorlError
from porl_ros.replay import ReplayMemory, ReplayReader, ReplayWriter, Retention, read_store
from porl_ros.replay.disk.retention import Pruner
from porl_ros.replay.errors import (
    ContractMismatch,
    DamagedStore,
    RunExists,
    StoreMissing,
    StoreNotWritable,
)
from porl_ros.replay.tools.blocks import regroup
from porl_ros.replay.tools.copy import copy_stores
from porl_ros.replay.tools.repair import repair_run


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A closed store; nothing that is done to make a copy changes it."""
    return record(tmp_path_factory.mktemp("source") / "store")


def rows_of(store) -> np.ndarray:
    return np.concatenate([chunk.rows for chunk in read_store(store)])


def finals_of(store) -> np.ndarray:
    return np.concatenate([chunk.finals for chunk in read_store(store)])


def test_a_copy_has_the_same_rows_in_fewer_bytes(source, tmp_path):
    out, done = tmp_path / "out", []
    before = contents(source)
    assert copy_stores([source], out, progress=done.append) == sum(done) == ROWS
    assert contents(source) == before
    assert same(rows_of(out), rows_of(source))
    assert same(finals_of(out), finals_of(source))
    (found,) = checks(out)
    assert (found.rows, found.segments, found.faults, found.notes) == (ROWS, 1, [], [])
    assert sum(map(len, contents(out).values())) < sum(map(len, before.values()))


def test_a_copy_is_an_ordinary_zarr_of_shards(source, tmp_path):
    copy_stores([source], tmp_path / "out")
    group = zarr.open_group(segment(tmp_path / "out", 0), mode="r")
    array = group["observation"]
    assert array.shape == (ROWS, 3)
    assert array.shards == (ROWS, 3)
    assert array.attrs["names"] == ["x", "y", "z"]
    assert [type(codec).__name__ for codec in array.compressors] == ["BloscCodec", "Crc32cCodec"]
    assert np.array_equal(group["stamp"][...], np.arange(ROWS) * 1_000_000)


@pytest.mark.slow
def test_a_copy_is_followed_and_learned_from_like_its_original(source, tmp_path):
    copy_stores([source], tmp_path / "out")
    batches = []
    for folder in (source, tmp_path / "out"):
        memory = ReplayMemory(3, 2, 1000, 0.9, seed=1)
        with ReplayReader(folder, SCHEMA.contract_hash) as reader:
            while chunks := reader.poll(20):
                for chunk in chunks:
                    memory.extend(chunk)
            assert reader.faults == []
        batches.append(memory.sample(64))
    for ours, theirs in zip(*batches, strict=True):
        assert same(ours, theirs)


def test_a_copy_can_be_recorded_into(source, tmp_path):
    copy_stores([source], tmp_path / "out")
    with ReplayWriter(tmp_path / "out", SCHEMA, "arm", "two") as writer:
        log_rows(writer, 10)
    assert check_rows(read_store(tmp_path / "out"), cut=True) == ROWS + 10
    assert [check.faults for check in checks(tmp_path / "out")] == [[], []]


def test_blocks_are_cut_anywhere_and_lose_nothing(source):
    chunks = read_store(source)
    whole = np.concatenate([chunk.rows for chunk in chunks])
    finals = np.concatenate([chunk.finals for chunk in chunks])
    for size in (1, 6, 7, 8, 29, 75, 500):
        blocks = list(regroup(chunks, size))
        assert same(np.concatenate([block.rows for block in blocks]), whole)
        assert same(np.concatenate([block.finals for block in blocks]), finals)
        assert all(len(block.rows) == size for block in blocks[:-1])
        for block in blocks:
            numbers = block.finals["row"]
            assert ((numbers >= block.first_row) & (numbers < block.next_row)).all()


def test_a_late_end_comes_with_its_row(store):
    with ReplayWriter(store, SCHEMA, "arm", "one", 60.0, 5) as writer:
        log_rows(writer, 5)
        writer.flush()
        writer.end_episode(np.zeros(3))
        writer.flush()
        log_rows(writer, 5)
    blocks = list(regroup(read_store(store), 5))
    assert [block.finals["row"].tolist() for block in blocks] == [[4], [6]]
    assert blocks[0].rows["truncated"][-1] == 1


@pytest.mark.slow
def test_a_crashed_run_is_copied_as_a_recovery_would_seal_it(tmp_path):
    store = record_and_crash(tmp_path / "store")
    before = contents(store)
    copy_stores([store], tmp_path / "out")
    assert contents(store) == before
    repair_run(*run_of(store))
    assert same(rows_of(tmp_path / "out"), rows_of(store))


def test_what_was_lost_or_dropped_stays_on_record_in_a_copy(source, tmp_path):
    store = Path(shutil.copytree(source, tmp_path / "store"))
    Pruner(store, "arm", Retention(max_bytes=20_000)).apply()
    flip(segment(store, 30) / "reward/c.0")
    repair_run(*run_of(store))
    copy_stores([store], tmp_path / "out")
    (found,) = checks(tmp_path / "out")
    assert found.faults == []
    assert found.rows == 15


def test_a_damaged_store_is_not_copied(source, tmp_path):
    store = Path(shutil.copytree(source, tmp_path / "store"))
    flip(segment(store, 30) / "reward/c.0")
    with pytest.raises(DamagedStore, match="put the store in order first"):
        copy_stores([store], tmp_path / "out")
    assert list(tmp_path.iterdir()) == [store]


@pytest.mark.slow
def test_stores_of_one_contract_become_one(tmp_path):
    stores = [record(tmp_path / name, run=name, rows=28) for name in "abc"]
    assert copy_stores(stores, tmp_path / "out") == 84
    names = [check.run for check in checks(tmp_path / "out")]
    assert names == ["arm/a", "arm/b", "arm/c"]
    assert check_rows(read_store(tmp_path / "out"), cut=True) == 84


def test_runs_of_the_same_name_are_refused(tmp_path):
    stores = [record(tmp_path / name, rows=5) for name in "ab"]
    with pytest.raises(RunExists, match=f"arm/one is in {stores[0]} and in {stores[1]}"):
        copy_stores(stores, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_stores_of_other_contracts_are_refused_by_the_field_that_differs(tmp_path):
    ours = SCHEMA.model_copy(update={"contract": {"rate": 10}})
    theirs = SCHEMA.model_copy(update={"contract": {"rate": 20}, "contract_hash": "bad"})
    stores = [record(tmp_path / "a", "a", 7, schema=ours)]
    stores.append(record(tmp_path / "b", "b", 7, schema=theirs))
    with pytest.raises(
        ContractMismatch, match="the first difference is at rate: here 10, there 20"
    ):
        copy_stores(stores, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_and_nothing_half_made_is_left(source, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "thesis.txt").touch()
    with pytest.raises(PorlError, match="nothing is overwritten"):
        copy_stores([source], taken)
    with pytest.raises(StoreMissing):
        copy_stores([source, tmp_path / "nowhere"], tmp_path / "out")
    with small_disk(tmp_path / "disk", "32k") as disk:
        with pytest.raises(StoreNotWritable, match="No space left"):
            copy_stores([source], disk / "out")
        assert list(disk.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "taken"]


def test_an_empty_store_and_a_run_without_rows_are_copied(tmp_path):
    record(tmp_path / "a", rows=0)
    assert copy_stores([tmp_path / "a"], tmp_path / "b") == 0
    assert read_store(tmp_path / "b") == []
    shutil.rmtree(tmp_path / "a/writers/arm")
    assert copy_stores([tmp_path / "a"], tmp_path / "c") == 0
    assert checks(tmp_path / "c") == []


@pytest.mark.slow
def test_images_are_copied_and_proved(store, tmp_path):
    with ReplayWriter(store, WITH_IMAGES, "arm", "one", 60.0, 10) as writer:
        for _ in range(2):
            log_with_images(writer, 10)
            writer.flush()
    copy_stores([store], tmp_path / "out")
    assert all(check.faults == check.images == [] for check in checks(tmp_path / "out"))
    check_images(tmp_path / "out", "arm/one", 0, 20, known=20)
    wrist = segment(store, 10) / "images/wrist/frame/c.0.0.0.0"
    flip(wrist)
    (found,) = checks(store)
    assert "images of 1 rows from 15 to 15 are damaged" in found.images[0]
    copy_stores([store], tmp_path / "again")
    (found,) = checks(tmp_path / "again")
    assert found.rows == 20
    assert found.images == []
