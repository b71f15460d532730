"""The critics' warm-up ends when held-out episodes say so, and holds nothing back afterwards."""

import numpy as np
import pytest
import torch
from made_rows import LENGTH, make_chunk

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import Porl
from porl_ros.learning.warmup import CHECK_EVERY, CriticWarmup, critic_error
from porl_ros.policy.network import Actor
from porl_ros.replay import ReplayMemory

OUTCOMES = [True, False, False, False] * 20


def make(outcomes=OUTCOMES, **settings) -> CriticWarmup:
    limits = {"warmup_mc_updates": 1000, "warmup_td_updates": 20_000}
    config = PorlConfig(**{**limits, "critic_hidden": (32,), "batch_size": 32, **settings})
    torch.manual_seed(0)
    memory = ReplayMemory(3, 2, 10_000, config.discount, 0)
    warmup = CriticWarmup(Porl(Actor(3, 2, (16,)), config, 0, "cpu", (0.0, 1.0)), memory, config)
    memory.extend(make_chunk(outcomes))
    return warmup


def run(warmup: CriticWarmup) -> int:
    while not warmup.done:
        warmup.update()
    return warmup.updates


def test_it_ends_by_itself_long_before_its_limit():
    warmup = make()
    limit = warmup.limit
    assert limit == 21_000
    updates = run(warmup)
    assert 5 * CHECK_EVERY < updates < 10_000
    assert updates % CHECK_EVERY == 0
    assert warmup.limit == updates  # nothing is left
    assert np.isfinite(warmup.error)


def test_it_ends_at_its_limits_at_the_latest():
    assert run(make(warmup_mc_updates=30, warmup_td_updates=70)) == 100
    assert run(make(warmup_mc_updates=0, warmup_td_updates=0)) == 0


def test_more_patience_takes_longer():
    assert run(make(warmup_patience=1)) < run(make(warmup_patience=8))


def test_nothing_held_out_is_learned_from_before_it_is_released():
    warmup = make(warmup_mc_updates=10, warmup_td_updates=10)
    memory = warmup._memory
    held = memory.held_out()
    episodes = len(OUTCOMES) // 5
    assert len(held.reward) == episodes * LENGTH
    assert memory.size == (len(OUTCOMES) - episodes) * LENGTH
    assert held.reward.sum() == OUTCOMES.count(True) // 5
    seen = {row.tobytes() for _ in range(50) for row in memory.sample(256, 0.5).observation}
    assert not seen & {row.tobytes() for row in held.observation}
    run(warmup)
    assert memory.size == len(OUTCOMES) * LENGTH
    seen = {row.tobytes() for _ in range(50) for row in memory.sample(256, 0.5).observation}
    assert {row.tobytes() for row in held.observation} <= seen


def test_a_base_that_never_succeeds_leaves_nothing_to_converge_to():
    warmup = make([False] * 40, warmup_mc_updates=300, warmup_td_updates=1500)
    assert run(warmup) == 1800
    assert np.isnan(warmup.error)


def test_the_error_is_1_for_a_critic_that_knows_only_the_mean():
    warmup = make()
    held = warmup._memory.held_out()
    mean = float(held.mc_return.mean())

    class Constant:
        def value(self, batch):
            return np.full(len(batch.reward), mean)

    assert critic_error(Constant(), held) == pytest.approx(1.0)
    assert np.isnan(critic_error(Constant(), held._replace(mc_return=held.mc_return[:0])))
