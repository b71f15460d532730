"""A learner that begins again feeds its memory from the store, and goes on bit for bit."""

import json

import numpy as np
import pytest
from replay_rows import make_chunk, make_row

from porl_ros.replay import ReplayMemory, ReplayReader, ReplayWriter
from porl_ros.replay.errors import RowsGone
from porl_ros.replay.memory.history import FEW, FeedHistory, Restart, Stretch

ROBOTS = ("left", "right", "third")


class Learner:
    """What a learner holds: a reader and a memory. A checkpoint is one JSON text."""

    def __init__(self, store, capacity: int, checkpoint: str | None = None):
        state = json.loads(checkpoint) if checkpoint else None
        self.reader = ReplayReader(store, cursor=state and state["cursor"])
        self.memory = ReplayMemory(3, 2, capacity, 0.9, 7, n_step=3, recent_window=50)
        self.memory.hold_out_every = 4
        if state:
            self.memory.load_state_dict(state, self.reader.replay)

    def read(self, limit: int) -> list:
        return [e for chunk in self.reader.poll(limit) for e in self.memory.extend(chunk)]

    def checkpoint(self) -> str:
        return json.dumps(self.memory.state_dict())


def check_same(first: ReplayMemory, second: ReplayMemory) -> None:
    assert (first.size, first.finished) == (second.size, second.finished)
    for options in ({}, {"success_share": 0.5}, {"recent_share": 0.3, "finished_only": True}):
        if first.finished > 1 and first.size:
            pairs = zip(first.sample(16, **options), second.sample(16, **options), strict=True)
            assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    pairs = zip(first.held_out(), second.held_out(), strict=True)
    assert all(a.tobytes() == b.tobytes() for a, b in pairs)


def write_some(writers: list[ReplayWriter], random: np.random.Generator) -> None:
    for writer in writers:
        for _ in range(random.integers(40)):
            writer.log(**make_row(writer.rows))
        if random.random() < 0.1:
            writer.end_episode(np.ones(3))
        writer.flush()


@pytest.mark.parametrize("capacity", [40, 150, 5000])
def test_a_learner_goes_on_as_if_it_had_not_stopped(store, open_writer, capacity):
    random = np.random.default_rng(capacity)
    writers = [open_writer(robot, run="one", segment_rows=100) for robot in ROBOTS]
    straight, again = Learner(store, capacity), None
    for turn in range(30):
        write_some(writers, random)
        limit = int(random.integers(1, 90))
        expected = straight.read(limit)
        if again:
            assert again.read(limit) == expected
            check_same(straight.memory, again.memory)
        if turn % 6 == 5:
            checkpoint = (again or straight).checkpoint()
            assert len(checkpoint) < 20_000
            again = Learner(store, capacity, checkpoint)
            # In what order robots are read is not in it: on a robot that is a matter of timing
            again.reader._turn = straight.reader._turn
            check_same(straight.memory, again.memory)
    assert straight.reader.rows_read > 500
    assert straight.reader.faults == again.reader.faults == []


def test_rows_that_are_not_there_any_more_are_named(store, open_writer):
    writer = open_writer("arm", run="one", segment_rows=10)
    for number in range(40):
        writer.log(**make_row(number))
        writer.flush()
    writer.close()
    learner = Learner(store, 1000)
    learner.read(100)
    checkpoint = learner.checkpoint()
    (store / "writers/arm/one/segments/000000000020").rename(store / "lost")
    with pytest.raises(RowsGone, match="^run: arm/one: rows 0 to 39 are not what they were"):
        Learner(store, 1000, checkpoint)
    (store / "writers/arm").rename(store / "gone")
    with pytest.raises(RowsGone, match="has no arm/one any more"):
        Learner(store, 1000, checkpoint)


def test_a_state_fits_what_was_fed():
    memory, other = (ReplayMemory(3, 2, 100, 0.9, 0) for _ in range(2))
    memory.extend(make_chunk(0, 50))
    state = json.loads(json.dumps(memory.state_dict()))
    with pytest.raises(ValueError, match="^state: taken after 57 slots, this memory has had 0"):
        other.load_state_dict(state)
    other.extend(make_chunk(0, 50))
    expected = memory.sample(8)
    other.load_state_dict(state)  # fed the same rows by other means
    assert np.array_equal(other.sample(8).observation, expected.observation)
    with pytest.raises(ValueError, match="to a new memory only"):
        other.load_state_dict(state, lambda *stretch: [])
    with pytest.raises(KeyError):
        other.load_state_dict({})


def test_old_feeding_is_forgotten():
    """Of two runs that are fed in turns for ever, the state says what the ring still shows."""
    memory = ReplayMemory(3, 2, 200, 0.9, 0)
    for first in range(0, 4_500, 3):
        memory.extend(make_chunk(first, 3, "left/a"))
        memory.extend(make_chunk(first, 3, "right/a"))
    state = memory.state_dict()
    assert state["given"] > 9_000
    assert 40 < len(state["fed"]) < 100
    assert state["cursor"] == {"left/a": (4_500, 4_494), "right/a": (4_500, 4_494)}
    assert len(memory._feeder._history._stretches) <= FEW + 1


def test_one_run_is_one_stretch():
    memory = ReplayMemory(3, 2, 1000, 0.9, 0)
    for first in range(0, 4_000, 4):
        memory.extend(make_chunk(first, 4))
    ((first, end, run, first_row, next_row, final_row),) = memory.state_dict()["fed"]
    assert (run, next_row, final_row) == ("arm/a", 4_000, 3_997)
    assert end == memory.state_dict()["given"]
    assert end - 1000 - 100 < first <= end - 1000
    assert first_row % 7 == 0


def test_a_run_that_is_wholly_overwritten_is_not_fed_again():
    history = FeedHistory(100)
    history.add(Stretch(0, 50, "old", 0, 50, 50), Restart(0, 0))
    history.add(Stretch(50, 300, "new", 0, 250, 250), Restart(50, 0))
    assert [stretch.run for stretch in history.needed(200, {})] == ["new"]
    open_since = {"old": 20}
    history.add(Stretch(300, 310, "old", 50, 60, 60), None)
    assert [stretch.run for stretch in history.needed(210, open_since)] == ["new", "old"]
