"""kill -9 at any moment: what was acknowledged is there, what is there is right.

PORL_REPLAY_KILLS=100 pytest tests/replay/test_replay_crash.py -s     # the long form
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows
from robots import Robot

from porl_ros.replay import ReplayReader, ReplayWriter, read_store

KILLS = int(os.environ.get("PORL_REPLAY_KILLS", "8"))
HURRIED = (0.0005, 0.01, 60)  # s a row, flush interval, segment rows: much happens in few rows
ROBOTS = (0.001, 0.1, 4096)  # 1 kHz, and what a writer does if it is not told otherwise


def record_and_kill(store: Path, options: tuple, rows: int, reader: ReplayReader) -> tuple:
    """Kill a robot after so many rows; the robot, and what was read meanwhile."""
    chunks = []
    with Robot(store, "arm", *options) as robot:
        while robot.listen().rows < rows:
            if robot.lines[-1].rows % 20 == 0:
                chunks += reader.poll()
        robot.kill()
    return robot, chunks


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_killed_writer_loses_nothing_acknowledged(tmp_path):
    waited, recovered = [], []
    for kill in range(KILLS):
        store, random = tmp_path / str(kill), np.random.default_rng(kill)
        options = (HURRIED, ROBOTS)[kill % 2]
        ReplayWriter(store, SCHEMA, "arm", "first").close()
        reader = ReplayReader(store)
        robot, chunks = record_and_kill(store, options, int(random.integers(1, 500)), reader)
        before = check_rows(read_store(store), cut=True)
        assert robot.lines[-1].acknowledged <= before <= robot.lines[-1].rows + 1
        waited.append(robot.waited(before))
        recovered.append(check_recovery(store, before, reader, chunks))
    assert max(waited) < 1.0  # that much on a busy machine; what it is on an idle one is printed
    print(
        f"{KILLS} kills: rows lost had waited at most {1e3 * max(waited):.0f} ms, "
        f"recovery took at most {1e3 * max(recovered):.0f} ms"
    )


def check_recovery(store: Path, before: int, reader: ReplayReader, chunks: list) -> float:
    """A new writer seals what was left, and all is there, also for one who has followed."""
    start = time.monotonic()
    with ReplayWriter(store, SCHEMA, "arm") as writer:
        took = time.monotonic() - start
        log_rows(writer, 10)
    after = read_store(store)
    assert check_rows(after, cut=True) == before + 10
    assert not list(store.glob("writers/*/*/journal/*"))
    assert not list(store.glob("writers/*/*/segments/.*"))
    killed = next((c.run for c in after if c.run not in (f"arm/{writer.run}", "arm/first")), None)
    if killed:
        last = [chunk for chunk in after if chunk.run == killed and len(chunk.rows)][-1].rows[-1]
        assert last["truncated"] or last["terminated"]
    chunks += reader.poll()
    assert check_rows(chunks, cut=True) == before + 10
    assert reader.faults == []
    return took
