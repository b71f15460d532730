"""The memory: what follows what, where values bootstrap, and that chunks leave no trace."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_rows import SCHEMA, make_chunk

from porl_ros.replay import Chunk, ReplayMemory


def make_memory(capacity=1000, discount=0.9, seed=0) -> ReplayMemory:
    return ReplayMemory(3, 2, capacity, discount, seed)


def cut_up(chunk: Chunk, ends: list[int], late: bool = False) -> list[Chunk]:
    """The same rows in other chunks; `late`: finals come with the next chunk."""
    chunks, start = [], 0
    for end in sorted({min(end, len(chunk.rows)) for end in ends} | {len(chunk.rows)}):
        low, high = chunk.first_row + start - late, chunk.first_row + end - late
        finals = chunk.finals[(chunk.finals["row"] >= low) & (chunk.finals["row"] < high)]
        chunks.append(Chunk(chunk.run, chunk.first_row + start, chunk.rows[start:end], finals))
        start = end
    if late:
        finals = chunk.finals[chunk.finals["row"] >= chunk.first_row + start - 1]
        chunks.append(Chunk(chunk.run, chunk.first_row + start, chunk.rows[:0], finals))
    return chunks


def check_batch(batch, discount=0.9):
    """Each transition is the one its observation says."""
    for index, observation in enumerate(batch.observation):
        number = int(observation[0])
        expected = make_chunk(number, 1)
        row = expected.rows[0]
        follows = make_chunk(number + 1, 1).rows[0]["observation"]
        if len(expected.finals):
            follows = expected.finals[0]["observation"]
        assert np.array_equal(batch.next_observation[index], follows)
        assert np.array_equal(batch.action[index], row["action"])
        assert batch.reward[index] == row["reward"]
        assert batch.terminated[index] == row["terminated"]
        assert batch.discount[index] == np.float32(discount)
        if not np.isnan(batch.mc_return[index]):
            rest = range(number, number - number % 7 + 7)
            value = sum(discount ** (n - number) * (n % 3) for n in rest)
            assert batch.mc_return[index] == pytest.approx(value, rel=1e-5)


def test_batches_are_packed_float32():
    memory = make_memory()
    memory.extend(make_chunk(0, 50))
    batch = memory.sample(32, success_share=0.5)
    for array, shape in zip(batch, [(32, 3), (32, 2), (32,), (32, 3)] + [(32,)] * 3, strict=True):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.shape == shape
    check_batch(batch)


def test_nothing_to_sample_is_said():
    memory = make_memory()
    for count in (0, 1):  # one row: what follows it is not known
        memory.extend(make_chunk(0, count))
        assert memory.size == 0
        with pytest.raises(ValueError, match="without a transition"):
            memory.sample(4)
    memory.extend(make_chunk(1, 3))
    assert memory.size == 3
    with pytest.raises(ValueError, match="without a finished episode"):
        memory.sample(4, finished_only=True)
    assert np.isnan(memory.sample(4).mc_return).all()


def test_a_row_is_ready_one_row_later():
    memory, number = make_memory(), 0
    for number in range(20):
        memory.extend(make_chunk(number, 1))
        running = number % 7 != 6
        assert memory.size == number + 1 - running
        if memory.size:
            check_batch(memory.sample(20))


def test_only_termination_ends_the_future():
    memory = make_memory()
    memory.extend(make_chunk(0, 14))  # the first episode terminates, the second is truncated
    batch = memory.sample(500)
    ends = {int(o[0]): t for o, t in zip(batch.observation, batch.terminated, strict=True)}
    assert [number for number, terminated in ends.items() if terminated] == [6]
    assert 13 in ends
    check_batch(batch)


def test_monte_carlo_returns_by_hand():
    memory = make_memory(discount=0.5)
    memory.extend(make_chunk(0, 7))  # rewards 0 1 2 0 1 2 0
    batch = memory.sample(200)
    returns = {int(o[0]): g for o, g in zip(batch.observation, batch.mc_return, strict=True)}
    expected = {6: 0.0, 5: 2.0, 4: 2.0, 3: 1.0, 2: 2.5, 1: 2.25, 0: 1.125}
    assert returns == pytest.approx(expected)


def test_episodes_are_reported_when_they_end():
    memory = make_memory()
    assert memory.extend(make_chunk(0, 6)) == []
    first, second = memory.extend(make_chunk(6, 8))
    assert first == ("arm/a", 0, 7, 6.0, True, 0, True)
    assert second == ("arm/a", 1, 7, 7.0, False, 0, True)


def test_a_final_may_come_in_a_later_chunk():
    memory, whole = make_memory(), make_chunk(0, 7)
    assert memory.extend(whole._replace(finals=whole.finals[:0])) == []
    assert memory.size == 6
    (episode,) = memory.extend(Chunk("arm/a", 7, whole.rows[:0], whole.finals))
    assert episode.length == memory.size == 7
    check_batch(memory.sample(100))


def test_an_episode_cut_by_a_crash_loses_its_last_row_only():
    memory = make_memory()
    memory.extend(make_chunk(0, 3))
    memory.extend(make_chunk(0, 7, run="arm/b"))
    memory.extend(make_chunk(7, 7))  # rows 3 to 6 of arm/a never came
    assert memory.size == 2 + 7 + 7
    check_batch(memory.sample(300))


def test_a_new_episode_number_cuts_the_old_one():
    memory, chunk = make_memory(), make_chunk(0, 10)
    memory.extend(chunk._replace(finals=chunk.finals[:0]))
    assert memory.size == 6 + 2


def test_a_final_of_rows_never_seen_is_ignored():
    memory, chunk = make_memory(), make_chunk(0, 7)
    assert memory.extend(Chunk("arm/a", 7, chunk.rows[:0], chunk.finals)) == []
    memory.extend(make_chunk(7, 3))
    assert memory.extend(Chunk("arm/a", 10, chunk.rows[:0], chunk.finals)) == []
    assert memory.size == 2


def test_runs_may_be_interleaved():
    memory = make_memory()
    for first in range(0, 60, 3):
        for run in ("left/a", "right/a"):
            memory.extend(make_chunk(first, 3, run))
    assert memory.size == 2 * 59
    check_batch(memory.sample(500))


@pytest.mark.parametrize("capacity", [2, 3, 10, 33])
def test_the_ring_keeps_the_newest(capacity):
    memory = make_memory(capacity)
    for first in range(0, 300, 5):
        memory.extend(make_chunk(first, 5, "left/a"))
        memory.extend(make_chunk(first, 5, "right/a"))
        assert memory.size <= capacity
        ready = int(np.count_nonzero(memory._ring.flags & 1))
        assert memory.size == ready
        if memory.size:
            batch = memory.sample(20, success_share=0.5)
            check_batch(batch)
            assert batch.observation[:, 0].min() >= first + 5 - capacity - 7


def test_success_share_comes_from_successful_episodes():
    memory = make_memory(discount=1.0)
    memory.extend(make_chunk(0, 70))
    numbers = memory.sample(200, success_share=0.75).observation[:, 0].astype(int)
    assert (numbers[:150] // 7 % 2 == 0).all()  # even episodes terminate
    assert len(set(numbers[:150])) == 35
    assert (numbers[150:] // 7 % 2 == 1).any()


def test_without_success_the_batch_is_uniform():
    memory = make_memory()
    memory.extend(make_chunk(7, 7))
    assert len(memory.sample(16, success_share=1.0).reward) == 16


def test_finished_only_leaves_the_running_episode_out():
    memory = make_memory()
    memory.extend(make_chunk(0, 12))
    batch = memory.sample(200, finished_only=True)
    assert batch.observation[:, 0].max() == 6
    assert not np.isnan(batch.mc_return).any()


def test_sampling_is_uniform():
    memory = make_memory()
    memory.extend(make_chunk(0, 70))
    counts = np.bincount(memory.sample(70_000).observation[:, 0].astype(int), minlength=70)
    assert len(counts) == 70
    assert abs(counts - 1000).max() < 160  # five standard deviations


@settings(max_examples=60, deadline=None)
@given(
    ends=st.lists(st.integers(1, 90), max_size=30),
    late=st.booleans(),
    capacity=st.sampled_from([2, 7, 40, 500]),
)
def test_other_chunks_give_the_same_batches(ends, late, capacity):
    whole, pieces = make_memory(capacity, seed=3), make_memory(capacity, seed=3)
    for first in (0, 90):
        chunk = make_chunk(first, 90)
        expected = whole.extend(chunk)
        found = [e for part in cut_up(chunk, ends, late) for e in pieces.extend(part)]
        assert found == expected
        assert pieces.size == whole.size
        for share in (0.0, 0.5):
            if whole.size:
                ours, theirs = whole.sample(16, share), pieces.sample(16, share)
                assert all(map(np.array_equal, ours, theirs, [True] * len(ours)))


def test_the_generator_can_be_saved():
    memory = make_memory()
    memory.extend(make_chunk(0, 50))
    state = json.loads(json.dumps(memory.state_dict()))
    expected = memory.sample(8)
    memory.load_state_dict(state)
    assert np.array_equal(memory.sample(8).observation, expected.observation)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="^capacity:"):
        make_memory(capacity=1)
    with pytest.raises(ValueError, match="^discount:"):
        make_memory(discount=1.1)
    with pytest.raises(ValueError, match="^success_share:"):
        make_memory().sample(4, success_share=2.0)


def test_sizes_come_from_the_schema():
    assert (SCHEMA.observation_size, SCHEMA.action_size) == (3, 2)
    assert SCHEMA.row_dtype.itemsize == 4 * (3 + 2 + 2 + 1) + 3 + 12 + 8
