"""Damaged, missing and foreign files: a named error or a defined recovery, never a wrong row.

PORL_REPLAY_DAMAGES=3000 pytest tests/replay/test_replay_damage.py -s     # the long form
"""

import os
import shutil
from pathlib import Path

import image_rows
import numpy as np
import pytest
from harm import CASES, damage, files_of, harm
from replay_rows import SCHEMA, check_rows, log_rows

from porl_ros.replay import ReplayReader, ReplayWriter, read_store
from porl_ros.replay.disk.images import read_images
from porl_ros.replay.disk.journal import JournalWriter
from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.disk.recovery import run_lock, seal_journal
from porl_ros.replay.errors import ReplayError
from porl_ros.replay.schema import Records, RunIdentity

IDENTITY = RunIdentity(SCHEMA, "arm", "one")
ROWS = 75  # two segments of 30 and a journal of three blocks of 5


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a crash leaves it: sealed segments and an open journal."""
    store = tmp_path_factory.mktemp("crashed") / "store"
    with ReplayWriter(store, SCHEMA, "arm", "one", 60.0, 30) as writer:
        for _ in range(ROWS // 5):
            log_rows(writer, 5)
            writer.flush()
        writer._flusher._sealer.submit(int).result()  # seals come in order: both are done
        copy = store.with_name("copy")
        shutil.copytree(store, copy)
    assert len(list(copy.glob("writers/*/*/segments/*"))) == 2
    assert check_rows(read_store(copy)) == ROWS
    return copy


def read_or_error(store: Path) -> int:
    """How many rows are readable, all of them right; none with a named error."""
    try:
        return check_rows(read_store(store), cut=True)
    except ReplayError:
        return 0


@pytest.mark.timeout(0)
def test_damage_is_never_read_as_rows(crashed):
    random = np.random.default_rng(1)
    # Journals and descriptions are few among the files: draw them as often as the arrays
    groups = [list(crashed.rglob("*.wal")), list(crashed.rglob("zarr.json")), files_of(crashed)]
    readable = []
    for case in range(CASES):
        group = groups[case % len(groups)]
        with damage(group[int(random.integers(len(group)))], random):
            readable.append(read_or_error(crashed))
    assert check_rows(read_store(crashed)) == ROWS
    assert 0 < np.mean(readable) < ROWS
    print(f"{CASES} damages, {np.mean(readable) / ROWS:.0%} of the rows still read, none wrong")


@pytest.fixture(scope="module")
def with_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, of a robot with cameras."""
    store = tmp_path_factory.mktemp("images") / "store"
    with ReplayWriter(store, image_rows.SCHEMA, "arm", "one", 60.0, 30) as writer:
        for _ in range(ROWS // 5):
            image_rows.log_with_images(writer, 5)
            writer.flush()
        writer._flusher._sealer.submit(int).result()
        return shutil.copytree(store, store.with_name("copy"))


@pytest.mark.timeout(0)
def test_damage_is_never_read_as_images(with_images):
    random = np.random.default_rng(4)
    files = files_of(with_images)
    groups = [list(with_images.rglob("*.wal")), list(with_images.rglob("*.img")), files]
    groups.append([path for path in files if "images" in path.parts])
    readable = []
    for case in range(CASES // 2):
        group = groups[case % len(groups)]
        with damage(group[int(random.integers(len(group)))], random):
            readable.append(images_or_error(with_images))
    assert images_or_error(with_images) == ROWS
    assert 0 < np.mean(readable) < ROWS
    print(f"{CASES // 2} damages, {np.mean(readable) / ROWS:.0%} of images still read, none wrong")


def images_or_error(store: Path) -> int:
    """How many images of one camera are readable, all of both right; none with a named error."""
    try:
        check_rows(read_store(store), cut=True)
        found = {name: read_images(store, "arm/one", 0, ROWS, name) for name in image_rows.STREAMS}
    except ReplayError:
        return 0
    for name, images in found.items():
        for row, image in zip(images.rows.tolist(), images.images, strict=True):
            assert np.array_equal(image, image_rows.expected_image(name, row))
    return len(found["wrist"].rows)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_writer_recovers_around_damage(crashed, tmp_path):
    random = np.random.default_rng(2)
    for case in range(max(20, CASES // 10)):
        store = tmp_path / str(case)
        shutil.copytree(crashed, store)
        files = files_of(store) if case % 2 else list(store.rglob("*.wal"))
        path = files[int(random.integers(len(files)))]
        kind = harm(path, random)
        # Without a description there is nothing to read, until the next writer says it again
        lost_root = kind == "remove" and path == store / "zarr.json"
        before = ROWS if lost_root else read_or_error(store)
        try:
            with ReplayWriter(store, SCHEMA, "arm", "two") as writer:
                log_rows(writer, 3)
        except ReplayError:
            continue  # the root: refused, and nothing touched
        assert check_rows(read_store(store), cut=True) == before + 3
        shutil.rmtree(store)


def test_damage_inside_a_journal_is_kept_aside(crashed, tmp_path, caplog):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    (journal,) = store.rglob("*.wal")
    data = bytearray(journal.read_bytes())
    data[len(data) // 2] ^= 1
    journal.write_bytes(data)
    ReplayWriter(store, SCHEMA, "arm").close()
    assert "was damaged" in caplog.text
    assert (journal.parent / f"{journal.name}.damaged").read_bytes() == data
    assert check_rows(read_store(store), cut=True) == 65


def test_a_torn_end_is_dropped(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    (journal,) = store.rglob("*.wal")
    os.truncate(journal, journal.stat().st_size - 1)
    reader = ReplayReader(store)
    assert check_rows(reader.poll()) == 70
    ReplayWriter(store, SCHEMA, "arm").close()
    assert reader.poll() == []
    assert not list(store.rglob("*.wal*"))


def test_a_torn_block_is_waited_for(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    (journal,) = store.rglob("*.wal")
    data = journal.read_bytes()
    chunks, reader = [], None
    for size in range(0, len(data) + 1, 7):
        journal.write_bytes(data[:size])
        reader = reader or ReplayReader(store)
        chunks += reader.poll()
    journal.write_bytes(data)
    assert check_rows(chunks + reader.poll()) == ROWS


def test_a_damaged_segment_is_left_out_and_named(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    (store / "writers/arm/one/segments/000000000000/reward/c.0").unlink()
    reader = ReplayReader(store)
    assert check_rows(reader.poll()) == ROWS - 30
    assert "segment:" in reader.faults[0]
    assert "rows 0 to 29 of arm/one are lost" in reader.faults[1]


def test_a_damaged_segment_whose_journal_is_left_is_sealed_again(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    (journal,) = store.rglob("*.wal")
    data = journal.read_bytes()
    ReplayWriter(store, SCHEMA, "arm").close()
    journal.write_bytes(data)  # as if the crash had come between rename and removal
    assert check_rows(read_store(store), cut=True) == ROWS
    chunk = store / "writers/arm/one/segments/000000000060/action/c.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert check_rows(read_store(store), cut=True) == ROWS
    ReplayWriter(store, SCHEMA, "arm").close()
    assert check_rows(read_store(store), cut=True) == ROWS
    assert not list(store.rglob("*.wal"))


def test_a_recovery_that_was_cut_short_is_taken_up(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    journals = store / "writers/arm/one/journal"
    earlier = JournalWriter(journals / "000000000030.wal", IDENTITY, 30, 4)
    for chunk in read_store(store)[1:2]:
        earlier.append(Records(30, 4, chunk.rows, chunk.finals))
    earlier.close()
    shutil.rmtree(store / "writers/arm/one/segments/000000000030")
    (store / "writers/arm/one/segments/.000000000060.tmp").mkdir()
    with run_lock(RunFolder(store, "arm", "one")):
        seal_journal(RunFolder(store, "arm", "one"), IDENTITY, 60, True, True)
    ReplayWriter(store, SCHEMA, "arm").close()
    assert not list(store.rglob("*.wal"))
    assert not list(store.rglob("*.tmp"))
    chunks = read_store(store)
    assert check_rows(chunks[:2]) == 60  # row 59 is not marked: its episode goes on
    assert check_rows(chunks, cut=True) == ROWS


def test_foreign_files_are_not_rows(crashed, tmp_path):
    store = Path(shutil.copytree(crashed, tmp_path / "store"))
    run = store / "writers/arm/one"
    (run / "journal/000000000200.wal").write_bytes(b"shopping list")
    (run / "segments/000000000300").mkdir()
    (run / "segments/notes").mkdir()
    shutil.copytree(run / "segments/000000000000", run / "segments/000000000400")
    shutil.copytree(run, store / "writers/arm/copied")
    (store / "writers/readme.txt").touch()
    reader = ReplayReader(store)
    assert check_rows(reader.poll()) == ROWS
    assert len(reader.faults) > 3
    ReplayWriter(store, SCHEMA, "arm").close()
    assert check_rows(read_store(store), cut=True) == ROWS
