"""Where a batch comes from: recent rows, a memory of demonstrations, and all that together."""

import numpy as np
import pytest
from replay_rows import make_chunk

from porl_ros.replay import ReplayMemory

DEMONSTRATION = 1_000_006  # numbers of rows that only the prior memory holds; even, so: successes


def make_memory(seed=0, **options) -> ReplayMemory:
    return ReplayMemory(3, 2, options.pop("capacity", 1000), 0.9, seed, **options)


def make_prior(**options) -> ReplayMemory:
    prior = make_memory(**options)
    prior.extend(make_chunk(DEMONSTRATION, 70))
    return prior


def numbers(batch) -> np.ndarray:
    return batch.observation[:, 0].astype(int)


def test_recent_share_comes_from_the_newest_slots():
    memory = make_memory(recent_window=40)
    memory.extend(make_chunk(0, 700))  # with 100 finals: the newest 40 slots are 35 rows
    drawn = numbers(memory.sample(4000, recent_share=0.25))
    assert set(drawn[:1000]) == set(range(665, 700))
    assert np.bincount(drawn[:1000] - 665).max() < 70  # of 28.6; uniform
    assert drawn[1000:].min() < 50
    assert np.mean(drawn[1000:] >= 665) < 0.1


def test_recent_rows_are_found_across_the_end_of_the_ring():
    memory = make_memory(capacity=100, recent_window=20)
    for first in range(0, 1000, 10):
        memory.extend(make_chunk(first, 10))
        if first >= 30:
            drawn = numbers(memory.sample(100, recent_share=1.0))
            assert first - 12 <= drawn.min() <= drawn.max() < first + 10


def test_a_window_without_a_transition_gives_way():
    memory = make_memory(recent_window=1)
    memory.extend(make_chunk(0, 5))  # what follows row 4 is not known yet
    assert set(numbers(memory.sample(50, recent_share=1.0))) == {0, 1, 2, 3}
    wide = make_memory(recent_window=10**9)
    wide.extend(make_chunk(0, 5))
    assert set(numbers(wide.sample(50, recent_share=1.0))) == {0, 1, 2, 3}


def test_recent_and_finished():
    memory = make_memory(recent_window=10)
    memory.extend(make_chunk(0, 25))  # the episode of 21 to 24 runs
    batch = memory.sample(64, finished_only=True, recent_share=0.5)
    assert numbers(batch).max() <= 20
    assert not np.isnan(batch.mc_return).any()
    assert set(numbers(batch)[:32]) <= set(range(14, 21))


def test_prior_share_comes_from_the_prior_memory():
    prior = make_prior()
    memory = make_memory(prior=prior, capacity=50)
    for first in range(0, 500, 25):
        memory.extend(make_chunk(first, 25))
    assert prior.size == 70  # nothing was pushed out of it
    drawn = numbers(memory.sample(200, prior_share=0.5))
    assert (drawn[:100] < 500).all()
    assert set(drawn[100:]) <= set(range(DEMONSTRATION, DEMONSTRATION + 70))
    assert len(set(drawn[100:])) > 40
    batch = memory.sample(64, prior_share=1.0, finished_only=True)
    assert not np.isnan(batch.mc_return).any()
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in batch)


def test_shares_add_up_in_every_batch_size():
    memory = make_memory(prior=make_prior(), recent_window=20)
    memory.extend(make_chunk(0, 350))
    for size in range(1, 40):
        shares = {"success_share": 0.5, "recent_share": 0.25, "prior_share": 0.25}
        drawn = numbers(memory.sample(size, **shares))
        assert len(drawn) == size
        assert abs(np.count_nonzero(drawn >= DEMONSTRATION) - size / 4) <= 1


def test_the_same_seed_draws_the_same():
    memories = [make_memory(5, prior=make_prior(), recent_window=30) for _ in range(2)]
    for memory in memories:
        memory.extend(make_chunk(0, 200))
    for _ in range(5):
        first, second = (m.sample(32, 0.25, recent_share=0.25, prior_share=0.25) for m in memories)
        assert all(map(np.array_equal, first, second, [True] * len(first)))
    other = make_memory(6, prior=make_prior(), recent_window=30)
    other.extend(make_chunk(0, 200))
    assert not np.array_equal(other.sample(32).observation, memories[0].sample(32).observation)


def test_what_cannot_be_drawn_is_said():
    memory = make_memory()
    memory.extend(make_chunk(0, 20))
    with pytest.raises(ValueError, match="^prior_share: there is no prior"):
        memory.sample(8, prior_share=0.5)
    with pytest.raises(ValueError, match="^prior_share: there is no prior"):
        make_memory(prior=make_memory()).sample(8, prior_share=1.0)
    empty = make_memory(prior=make_prior())
    with pytest.raises(ValueError, match="without a transition"):
        empty.sample(8, prior_share=0.5)
    assert len(empty.sample(8, prior_share=1.0).reward) == 8
    with pytest.raises(ValueError, match="^shares: .* must not be above 1"):
        memory.sample(8, 0.6, recent_share=0.6)
    with pytest.raises(ValueError, match="^recent_share:"):
        memory.sample(8, recent_share=-0.1)
    with pytest.raises(ValueError, match="^recent_window:"):
        make_memory(recent_window=0)


def test_a_prior_memory_of_another_kind_is_refused():
    for other in (ReplayMemory(4, 2, 10, 0.9, 0), ReplayMemory(3, 2, 10, 0.8, 0)):
        with pytest.raises(ValueError, match="^prior: "):
            make_memory(prior=other)
    with pytest.raises(ValueError, match="^prior: .*n_step"):
        make_memory(prior=make_memory(n_step=2))


def test_constant_observations_are_ordinary():
    memory, chunk = make_memory(), make_chunk(0, 50)
    chunk.rows["observation"], chunk.finals["observation"] = 0.5, 0.5
    memory.extend(chunk)
    batch = memory.sample(16, 0.5)
    assert (batch.observation == 0.5).all()
    assert (batch.next_observation == 0.5).all()
