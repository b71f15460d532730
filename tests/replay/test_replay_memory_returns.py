"""Returns over several steps: how many rewards, what discount, and from where to bootstrap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replay_rows import EPISODE, make_row
from replay_rows import make_chunk as make_mixed_chunk

from porl_ros.replay import Batch, Chunk, ReplayMemory
from porl_ros.replay.schema import Actor

GAMMA = 0.9


def make_chunk(*place) -> Chunk:
    """All of it the policy's doing."""
    chunk = make_mixed_chunk(*place)
    chunk.rows["actor"] = Actor.POLICY
    return chunk


def expected(number: int, steps: int, known: int) -> tuple:
    """(reward, discount, next observation, terminated) of a row, when all before `known` came."""
    reward, last = 0.0, number
    for taken in range(steps):
        last = number + taken
        reward += GAMMA**taken * make_row(last)["reward"]
        ends = last % EPISODE == EPISODE - 1
        # To go on, it must be known what follows the next row: another, or its final
        next_is_last = (last + 1) % EPISODE == EPISODE - 1
        if ends or not (last + 2 < known or (next_is_last and last + 1 < known)):
            break
    row = make_row(last)
    following = row.get("final_observation", make_row(last + 1)["observation"])
    return reward, GAMMA ** (last - number + 1), following, row["terminated"]


def check(batch, steps: int, known: int) -> None:
    for index, observation in enumerate(batch.observation):
        number = int(observation[0])
        reward, discount, following, terminated = expected(number, steps, known)
        assert np.array_equal(batch.action[index], make_row(number)["action"])
        assert batch.reward[index] == pytest.approx(reward, rel=1e-6)
        assert batch.discount[index] == np.float32(discount)
        assert np.array_equal(batch.next_observation[index], following)
        assert batch.terminated[index] == terminated


def make_memory(steps: int, capacity: int = 1000) -> ReplayMemory:
    return ReplayMemory(3, 2, capacity, GAMMA, 0, n_step=steps)


def by_row(batch) -> dict[int, int]:
    return {int(observation[0]): index for index, observation in enumerate(batch.observation)}


def test_three_steps_by_hand():
    memory = make_memory(3)
    memory.extend(make_chunk(7, 7))  # rewards 1 2 0 1 2 0 1; truncated
    batch = memory.sample(200)
    index = by_row(batch)
    reward, discount = batch.reward[index[7]], batch.discount[index[7]]
    assert (reward, discount) == (pytest.approx(1 + 0.9 * 2), pytest.approx(0.729))
    assert batch.next_observation[index[7]][0] == 10
    # The last two have fewer steps to go, and bootstrap from the final observation
    assert batch.discount[index[12]] == pytest.approx(0.81)
    assert batch.reward[index[12]] == pytest.approx(0.9)
    assert batch.discount[index[13]] == pytest.approx(0.9)
    for last in (11, 12, 13):
        assert np.array_equal(batch.next_observation[index[last]], [13.25, -12.75, 0.75])
    assert not batch.terminated.any()


def test_termination_within_reach_ends_the_future():
    memory = make_memory(3)
    memory.extend(make_chunk(0, 9))
    batch = memory.sample(200)
    ended = {number for number, at in by_row(batch).items() if batch.terminated[at]}
    assert ended == {4, 5, 6}


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("capacity", [2, 9, 40, 500])
def test_every_row_as_the_ring_turns(steps, capacity):
    memory = make_memory(steps, capacity)
    for first in range(0, 260, 5):
        memory.extend(make_chunk(first, 5, "left/a"))
        memory.extend(make_chunk(first, 5, "right/a"))
        if memory.size and first % 20 == 0:
            left = memory.sample(20)
            check(left, steps, first + 5)


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 9),
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    capacity=st.sampled_from([5, 33, 400]),
)
def test_every_row_however_it_came(steps, sizes, capacity):
    memory, known = make_memory(steps, capacity), 0
    for size in sizes:
        memory.extend(make_chunk(known, size))
        known += size
        if memory.size:
            check(memory.sample(16), steps, known)


def test_lost_rows_end_what_is_summed():
    memory = make_memory(4)
    memory.extend(make_chunk(0, 4))
    memory.extend(make_chunk(21, 7))  # 4 to 20 never came: 3 cannot be sampled
    batch = memory.sample(300)
    index = by_row(batch)
    assert sorted(index) == [0, 1, 2, *range(21, 28)]
    assert [round(float(batch.discount[index[n]]), 4) for n in (0, 1, 2)] == [0.729, 0.81, 0.9]
    for number in (0, 1, 2):
        assert batch.next_observation[index[number]][0] == 3
    later = [at for number, at in index.items() if number >= 21]
    check(Batch(*(values[later] for values in batch)), 4, 28)


def test_an_episode_that_was_cut_bootstraps_from_its_last_row():
    memory, chunk = make_memory(5), make_chunk(0, 10)
    memory.extend(chunk._replace(finals=chunk.finals[:0]))  # 6 ends an episode, its final is lost
    index = by_row(batch := memory.sample(300))
    assert sorted(index) == [0, 1, 2, 3, 4, 5, 7, 8]
    assert batch.next_observation[index[3]][0] == 6
    assert batch.discount[index[3]] == np.float32(GAMMA**3)
    assert not batch.terminated.any()


def test_held_out_rows_have_them_too():
    memory = make_memory(3)
    memory.hold_out_every = 1
    memory.extend(make_chunk(0, 14))
    assert memory.size == 0
    held = memory.held_out()
    assert len(held.reward) == 14
    check(held, 3, 14)


def test_monte_carlo_returns_stay_those_of_the_whole_episode():
    one, three = make_memory(1), make_memory(3)
    for memory in (one, three):
        memory.extend(make_chunk(0, 30))
    assert np.array_equal(one.sample(64).mc_return, three.sample(64).mc_return, equal_nan=True)


def test_a_foreign_row_after_a_terminated_one_is_not_its_future():
    chunk = make_chunk(0, 6)
    chunk.rows["terminated"][2] = 1  # no final, and the episode goes on
    memory = make_memory(3)
    memory.extend(Chunk("arm/a", 0, chunk.rows, chunk.finals))
    index = by_row(batch := memory.sample(200))
    assert batch.discount[index[0]] == np.float32(GAMMA**3)
    assert batch.terminated[index[0]] == batch.terminated[index[2]] == 1
    assert batch.discount[index[2]] == np.float32(GAMMA)


def test_bad_steps_are_named():
    with pytest.raises(ValueError, match="n_step"):
        make_memory(0)


def test_what_another_policy_did_is_not_summed_up():
    memory = make_memory(3)
    memory.count_one_step()
    memory.extend(make_chunk(0, 14))
    check(memory.sample(64), 1, 14)
    memory.count_several_steps()
    memory.extend(make_chunk(14, 14))
    index = by_row(batch := memory.sample(400))
    earlier = [at for number, at in index.items() if number < 13]
    later = [at for number, at in index.items() if number >= 13]
    check(Batch(*(values[earlier] for values in batch)), 1, 28)
    check(Batch(*(values[later] for values in batch)), 3, 28)


@pytest.mark.parametrize("actor", [Actor.HUMAN, Actor.EXPERT])
def test_what_a_person_did_is_not_summed_up(actor):
    chunk = make_chunk(0, 28)
    chunk.rows["actor"][8:12] = actor
    memory = make_memory(3)
    memory.extend(chunk)
    index = by_row(batch := memory.sample(400))
    steps = np.round(np.log(batch.discount) / np.log(GAMMA))
    # 7 to 13 are an episode: what came before the person, what he did, and what came after
    assert [steps[index[number]] for number in range(7, 14)] == [1, 1, 1, 1, 3, 2, 1]


def test_what_the_safety_filter_changed_is_the_policys_own():
    chunk = make_chunk(0, 28)
    chunk.rows["actor"] = Actor.SAFETY
    memory = make_memory(3)
    memory.extend(chunk)
    check(memory.sample(200), 3, 28)


def test_the_ring_turning_over_does_not_bring_one_step_back():
    memory = make_memory(3, 40)
    memory.extend(make_chunk(0, 30))
    memory.count_several_steps()
    for first in range(30, 120, 10):
        memory.extend(make_chunk(first, 10))
    check(memory.sample(100), 3, 120)
