"""The power fails at any moment: what was acknowledged is there, what is there is right.

PORL_REPLAY_CUTS=200 pytest tests/replay/test_replay_power.py -s     # the long form
"""

import os
import time
from pathlib import Path

import image_rows
import numpy as np
import pytest
from power import Disk, Recorder
from replay_rows import SCHEMA, check_rows, log_rows, make_row

from porl_ros.replay import ReplayReader, ReplayWriter
from porl_ros.replay.errors import StoreMissing

CUTS = int(os.environ.get("PORL_REPLAY_CUTS", "20"))
FATES = ("lost", "random", "random", "kept")
PERIOD = 0.001  # s between two rows
ROWS = 700


def record(root: Path, schema, rows: int = ROWS) -> Recorder:
    """Open a store, recover what is in it, log at 1 kHz and close, all of it on record."""
    recorder = Recorder(root)
    with recorder.active(), ReplayWriter(root / "store", schema, "arm", None, 0.1, 150) as writer:
        begun = time.perf_counter()
        for number in range(rows):
            time.sleep(max(0.0, begun + number * PERIOD - time.perf_counter()))
            images = {"wrist": image_rows.make_image("wrist", number)} if schema.images else None
            writer.log(**make_row(number), images=images)
            recorder.mark((time.perf_counter(), writer.run, writer.rows, writer.acknowledged))
    return recorder


def survivors(store: Path, schema, run: str) -> int:
    """How many rows of a run are there, all of them right and with their images."""
    with ReplayReader(store) as reader:
        chunks = reader.poll()
        assert reader.faults == []
    check_rows(chunks, cut=True)
    rows = sum(len(chunk.rows) for chunk in chunks if chunk.run == f"arm/{run}")
    if schema.images:
        images = image_rows.read_images(store, f"arm/{run}", 0, rows, "wrist")
        assert images.damaged == []
        assert images.rows.tolist() == list(range(rows))
        assert all(
            np.array_equal(image, image_rows.make_image("wrist", row))
            for row, image in enumerate(images.images)
        )
    return rows


def check_state(root: Path, schema, marks: list) -> float:
    """What a cut left is right and can be gone on from; how long the lost rows had waited [s]."""
    run, logged, acknowledged = marks[-1][1:] if marks else ("none", 0, 0)
    try:
        before = survivors(root / "store", schema, run)
    except StoreMissing:
        assert not marks
        before = 0
    assert acknowledged <= before <= logged
    with ReplayWriter(root / "store", schema, "arm") as writer:
        if not schema.images:
            log_rows(writer, 10)
    assert survivors(root / "store", schema, run) == before
    assert not list(root.rglob("*.wal")) + list(root.rglob("*.tmp")) + list(root.rglob("*.img"))
    return marks[-1][0] - marks[before][0] if before < logged else 0.0


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("schema", [SCHEMA, image_rows.SCHEMA], ids=["rows", "images"])
def test_power_cuts_lose_nothing_acknowledged(tmp_path, schema):
    random, root = np.random.default_rng(3), tmp_path / "0"
    root.mkdir()
    waited = []
    for session in range(2):  # the second one begins with a recovery, which is cut, too
        recorder = record(root, schema)
        notes = range(recorder.begun, len(recorder.notes) + 1)
        for case, cut in enumerate(random.choice(notes, CUTS // 2)):
            marks = [note.what for note in recorder.notes[:cut] if note.kind == "mark"]
            root = tmp_path / f"{session}-{case}"
            Disk(recorder.notes, cut).build(root, FATES[case % len(FATES)], random)
            waited.append(check_state(root, schema, marks))
        root = tmp_path / "crashed"
        middle = next(at for at, note in enumerate(recorder.notes) if marks_row(note, ROWS // 2))
        if session == 0:
            Disk(recorder.notes, middle).build(root, "random", random)
    print(f"{len(waited)} states, rows lost had waited at most {1e3 * max(waited):.0f} ms")


def marks_row(note, row: int) -> bool:
    return note.kind == "mark" and note.what[2] == row
