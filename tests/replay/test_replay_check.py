"""A check finds what is wrong and changes nothing; a repair mends what can be, deleting nothing."""

import fcntl
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows
from tool_stores import (
    ROWS,
    checks,
    contents,
    flip,
    read_only_copy,
    record,
    record_and_crash,
    run_of,
    segment,
    wait_for,
)

from porl_ros.replay import ReplayWriter, read_store
from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.disk.recovery import run_lock
from porl_ros.replay.errors import NewerFormat, StoreFormatError, StoreMissing, StoreNotWritable
from porl_ros.replay.tools import runs
from porl_ros.replay.tools.check import check_root
from porl_ros.replay.tools.repair import repair_run
from porl_ros.replay.tools.runs import being_written, overview
from porl_ros.replay.writing import writer

CASES = int(os.environ.get("PORL_REPLAY_REPAIRS", "20"))


@pytest.fixture(scope="module")
def crashed(tmp_path_factory) -> Path:
    return record_and_crash(tmp_path_factory.mktemp("crashed") / "store")


@pytest.fixture
def copy(crashed, tmp_path) -> Path:
    """The crashed store, to be damaged."""
    return Path(shutil.copytree(crashed, tmp_path / "store"))


def test_a_sound_store_is_sound(store):
    record(store)
    before = contents(store)
    (found,) = checks(store)
    assert (found.rows, found.segments, found.journals) == (ROWS, 3, {})
    assert found.faults == found.notes == found.images == []
    assert contents(store) == before


def test_a_store_is_checked_while_it_is_written(store, open_writer):
    writer = open_writer(run="one", segment_rows=30)
    log_rows(writer, 40)
    writer.flush()
    (found,) = checks(store)
    assert found.writing
    assert found.rows == 40
    assert found.faults == []
    writer.close()
    assert not being_written(run_of(store)[0])


def test_a_starting_writer_never_meets_a_look(store, open_writer, monkeypatch):
    """Looking takes the lock that tells a writer from a dead one. However long it takes, a writer
    that begins waits for it, and does not take it for another writer."""
    looks, go_on = threading.Event(), threading.Event()

    def slow_flock(descriptor: int, operation: int) -> None:
        fcntl.flock(descriptor, operation)
        looks.set()
        assert go_on.wait(10)

    slow = SimpleNamespace(flock=slow_flock, LOCK_SH=fcntl.LOCK_SH, LOCK_NB=fcntl.LOCK_NB)
    monkeypatch.setattr(runs, "fcntl", slow)
    with ThreadPoolExecutor(1) as pool:

        def lock_while_somebody_looks(folder: RunFolder):
            folder.lock.touch()
            pool.submit(being_written, folder)
            looks.wait(0.1)  # it must not get that far: the writer holds the robot's folder
            return run_lock(folder)

        monkeypatch.setattr(writer, "run_lock", lock_while_somebody_looks)
        try:
            open_writer(run="one")
        finally:
            go_on.set()


def test_what_waits_in_a_journal_is_told_and_sealed(copy):
    (found,) = checks(copy)
    assert found.faults == []
    assert found.journals == {60: 15}
    assert "15 rows wait in a journal" in found.notes[0]
    assert overview(*run_of(copy)).state == "needs recovery"
    repair = repair_run(*run_of(copy))
    assert repair.needed
    assert not repair.aside
    assert (repair.after.rows, repair.after.journals) == (ROWS, {})
    assert check_rows(read_store(copy), cut=True) == ROWS
    assert overview(*run_of(copy)).state == "closed"


def test_a_damaged_segment_is_named_set_aside_and_its_loss_put_on_record(copy):
    flip(segment(copy, 30) / "action/c.0.0")
    before = contents(copy)
    (found,) = checks(copy)
    assert found.rows == ROWS - 30
    assert str(segment(copy, 30)) in found.faults[0]
    assert "porl replay repair" in found.faults[0]
    assert "rows 30 to 59 are missing" in found.faults[1]
    assert repair_run(*run_of(copy), dry_run=True).needed
    assert contents(copy) == before
    repair = repair_run(*run_of(copy))
    assert repair.aside == [segment(copy, 30).with_name("000000000030.damaged")]
    assert [str(gap) for gap in repair.after.gaps] == ["rows 30 to 59"]
    (found,) = checks(copy)
    assert found.faults == []
    assert any("rows 30 to 59 are lost, as is on record" in note for note in found.notes)
    assert check_rows(read_store(copy), cut=True) == ROWS - 30
    kept = contents(copy)
    lost = {name: data for name, data in before.items() if "segments/000000000030" in name}
    for name, data in lost.items():
        assert kept[name.replace("000000000030", "000000000030.damaged")] == data


def test_a_missing_segment_is_a_fault_until_it_is_on_record(copy):
    shutil.rmtree(segment(copy, 0))
    (found,) = checks(copy)
    assert ["rows 0 to 29 are missing" in fault for fault in found.faults] == [True]
    repair_run(*run_of(copy))
    assert checks(copy)[0].faults == []


def test_damage_within_a_journal_is_named_and_what_is_before_it_is_kept(copy):
    (journal,) = copy.rglob("*.wal")
    flip(journal)
    (found,) = checks(copy)
    assert "is damaged after 5 good rows" in found.faults[0]
    repair = repair_run(*run_of(copy))
    assert [path.name for path in repair.aside] == ["000000000060.wal.damaged"]
    assert repair.after.rows == 65
    assert checks(copy)[0].faults == []


def test_a_torn_end_is_no_fault(copy):
    (journal,) = copy.rglob("*.wal")
    os.truncate(journal, journal.stat().st_size - 1)
    (found,) = checks(copy)
    assert found.faults == []
    assert found.rows == 70


def test_a_run_that_was_copied_within_the_store_is_not_taken_for_another(copy):
    shutil.copytree(copy / "writers/arm/one", copy / "writers/arm/two")
    one, two = checks(copy)
    assert one.faults == []
    assert two.rows == 0
    assert len(two.faults) >= 3


def test_foreign_files_are_told_and_left_alone(copy):
    run = copy / "writers/arm/one"
    (run / "notes.txt").write_text("shopping list")
    (run / "segments/pictures").mkdir()
    (run / "segments/.000000000090.tmp").mkdir()
    (found,) = checks(copy)
    assert found.faults == []
    told = "\n".join(found.notes)
    assert all(name in told for name in ("notes.txt", "segments/pictures", ".000000000090.tmp"))
    repair_run(*run_of(copy))
    assert (run / "notes.txt").read_text() == "shopping list"
    assert (run / "segments/pictures").is_dir()
    assert not (run / "segments/.000000000090.tmp").exists()


def test_a_run_that_is_written_is_not_repaired(store, open_writer):
    writer = open_writer(run="one", segment_rows=30)
    log_rows(writer, 40)
    writer.flush()
    log_rows(writer, 1)
    writer.flush()
    path = segment(store, 0)
    wait_for(path.is_dir)
    flip(path / "reward/c.0")
    repair = repair_run(*run_of(store))
    assert repair.refused
    assert path.exists()


def test_a_record_that_cannot_be_understood_is_a_fault(copy):
    run = copy / "writers/arm/one"
    shutil.rmtree(segment(copy, 0))
    (run / "retained.json").write_text('{"first_row": "thirty"}')
    (run / "lost.json").write_text("[[")
    faults = checks(copy)[0].faults
    assert "rows 0 to 29 are missing" in faults[0]
    assert "retained.json cannot be understood" in faults[1]


def test_a_read_only_store_is_checked_and_not_repaired(crashed):
    with read_only_copy(crashed, lambda store: flip(segment(store, 0) / "reward/c.0")) as copy:
        assert checks(copy)[0].rows == ROWS - 30
        assert overview(*run_of(copy)).rows == ROWS
        with pytest.raises(StoreNotWritable, match="cannot be written"):
            repair_run(*run_of(copy))


def test_the_root_is_checked(store):
    with pytest.raises(StoreMissing):
        check_root(store)
    record(store, schema=SCHEMA.model_copy(update={"contract": {"rate": 10}}))
    (fault,) = check_root(store)[1]
    assert "holds a contract that has another hash" in fault
    root = store / "zarr.json"
    text = root.read_text()
    root.write_text(text.replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(NewerFormat, match="update porl_ros"):
        check_root(store)
    root.write_text(text[:50])
    with pytest.raises(StoreFormatError, match="restore it from another copy"):
        check_root(store)


@pytest.mark.slow
def test_whatever_is_damaged_a_repair_leaves_a_store_without_faults(crashed, tmp_path):
    random = np.random.default_rng(3)
    files = sorted(p.relative_to(crashed) for p in crashed.glob("writers/**/*") if p.is_file())
    for case in range(CASES):
        store = Path(shutil.copytree(crashed, tmp_path / str(case)))
        for path in random.choice(files, int(random.integers(1, 4)), replace=False):
            target = store / path
            if random.random() < 0.3:
                target.unlink()
            elif target.stat().st_size:
                flip(target, random.random())
        before = checks(store)[0].rows
        after = repair_run(*run_of(store)).after
        assert after.faults == [], case
        assert after.rows >= before, case
        assert check_rows(read_store(store), cut=True) == after.rows, case
        with ReplayWriter(store, SCHEMA, "arm", "two") as writer:
            log_rows(writer, 3)
        assert all(found.faults == [] for found in checks(store))
        shutil.rmtree(store)
