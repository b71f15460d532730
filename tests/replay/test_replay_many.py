"""Many robots record into one store, in processes of their own, and one reader follows them all.

PORL_REPLAY_SECONDS=300 pytest tests/replay/test_replay_many.py -s     # the long form
"""

import contextlib
import os
import time

import pytest
from replay_rows import EPISODE, check_rows
from robots import Robot

from porl_ros.replay import ReplayReader, read_store
from porl_ros.replay.errors import StoreMissing

ROBOTS = 16
PERIOD = 0.01  # s a row
SECONDS = float(os.environ.get("PORL_REPLAY_SECONDS", "3"))


def open_reader(store, deadline: float) -> ReplayReader:
    """As soon as there is a store."""
    while True:
        with contextlib.suppress(StoreMissing):
            return ReplayReader(store)
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_every_row_of_many_robots_arrives_once_and_in_order(store):
    rows, finals, following = round(SECONDS / PERIOD), 0, {}
    options = (PERIOD, 0.1, 1000, rows)
    deadline = time.monotonic() + 2 * SECONDS + 60.0
    with contextlib.ExitStack() as running:
        robots = [
            running.enter_context(Robot(store, f"robot{number:02d}", *options, silent=True))
            for number in range(ROBOTS)
        ]
        reader = running.enter_context(open_reader(store, deadline))
        while reader.rows_read < ROBOTS * rows:
            chunks = reader.poll()
            check_rows(chunks, cut=True)
            for chunk in chunks:
                assert chunk.first_row == following.get(chunk.run, 0)
                following[chunk.run] = chunk.first_row + len(chunk.rows)
                finals += len(chunk.finals)
            assert time.monotonic() < deadline, f"{reader.rows_read} of {ROBOTS * rows} rows came"
            time.sleep(0.01)
        assert [robot.process.wait(60.0) for robot in robots] == [0] * ROBOTS
        assert sum(len(chunk.rows) for chunk in reader.poll()) == 0
        assert reader.faults == []
    assert finals == ROBOTS * (rows // EPISODE)
    assert list(following.values()) == [rows] * ROBOTS
    assert check_rows(read_store(store), cut=True) == ROBOTS * rows
    print(f"{ROBOTS} writers, {SECONDS:g} s at {1 / PERIOD:g} Hz: {ROBOTS * rows} rows, each once")
