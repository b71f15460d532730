"""The methods start where they should, act with the weights that they should, and repeat."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.finetuning.episodes import evaluate
from benchmarks.finetuning.loop import Loop, Rows
from benchmarks.finetuning.methods import DEFAULTS, METHODS
from benchmarks.finetuning.results import Judging
from benchmarks.finetuning.run import Run
from benchmarks.finetuning.sac import Sac, _slope_of_lowest, gaussian
from porl_ros.learning.mlp import value
from porl_ros.policy.network import Actor
from porl_ros.replay import Batch, ReplayMemory

SOME = Judging(episodes=10, fresh=10)
FROM_BASE = ("porl", "porl_no_warmup", "porl_no_anchor", "residual", "naive_sac")
# Small networks and few warm-up updates: what is tested here does not depend on them.
QUICK = {"presample_steps": 60, "warmup_mc_updates": 20, "warmup_td_updates": 20}
QUICK |= {"critic_hidden": (16,), "batch_size": 32}
SMALL = {"critic_hidden": (16,), "batch_size": 32, "learning_starts": 60}


def quick(name: str, **changes):
    """The method with little to compute."""
    method = METHODS[name]
    if hasattr(method, "config"):
        config = method.config.model_copy(update=SMALL | changes)
        return dataclasses.replace(method, config=config)
    return dataclasses.replace(method, changes=QUICK | method.changes | changes)


@pytest.mark.parametrize("name", FROM_BASE)
def test_what_starts_from_the_base_begins_as_the_base(reach, name):
    base = reach.base(0)
    learner = quick(name).make(reach, reach.make(0), base, 0, 300)
    policy, frozen = learner.policy(), base.for_control()
    for observation in np.random.default_rng(0).normal(0, 0.3, (50, 2)).astype(np.float32):
        wanted = np.clip(frozen(observation), -1, 1)
        # SAC cannot say more than 0.97, where the argument of tanh would be without bound.
        tolerance = 0.031 if name == "naive_sac" else 1e-6
        assert np.abs(np.clip(policy(observation), -1, 1) - wanted).max() < tolerance


@pytest.mark.slow
@pytest.mark.parametrize("name", ["porl", "residual", "naive_sac", "rlpd"])
def test_a_run_repeats_itself(reach, name):
    first, again = (Run(reach, quick(name), 0, 80, SOME).go() for _ in range(2))
    other = Run(reach, quick(name), 1, 80, SOME).go()
    for result in (first, again, other):
        assert result["curve"].pop("wall_clock_s")[0] >= 0
        assert [result.pop(key) for key in list(result) if key.endswith("_s")]
    assert first == again
    assert first != other
    assert first["env_steps"] == 80
    assert first["gradient_steps"] > 0


def test_the_same_updates_are_made_by_all_that_claim_it(reach):
    counts = {}
    for name in ("naive_sac", "rlpd", "porl_no_warmup"):
        learner = quick(name).make(reach, reach.make(0), reach.base(0), 0, 80)
        learner.advance(80)
        online = 80 - learner.updates_begin
        counts[name] = learner.gradient_steps / online, learner.actor_updates / online
    assert set(counts.values()) == {(DEFAULTS.utd, DEFAULTS.utd / DEFAULTS.actor_delay)}


def test_what_is_published_acts_one_block_later(reach):
    class Counting:
        """Acts by how often it had learned when its behaviour was asked for."""

        updates_begin = gradient_steps = actor_updates = 0
        rows, used = 0, []

        def behaviour(self):
            seen = self.rows

            def act(observation, rng):
                self.used.append(seen)
                return np.zeros(2, np.float32)

            return act

        def learn(self, chunk):
            assert len(chunk.rows) == 1
            self.rows += 1

    agent = Counting()
    Loop(reach.make(0), agent, seed=0, publish_every=10).advance(40)
    assert agent.used == [0] * 20 + [10] * 10 + [20] * 10


def test_demonstrations_are_transitions_like_any_other(reach):
    episodes = reach.demos(0)
    memory = ReplayMemory(2, 2, 1000, 0.9, 0)
    completed = memory.extend(Rows(2, 2).demonstrations(episodes))
    assert [episode.length for episode in completed] == [len(e.actions) for e in episodes]
    assert all(episode.success for episode in completed)
    batch = memory.sample(500)
    known = {
        tuple(np.r_[before, action, after])
        for e in episodes
        for before, action, after in zip(
            e.observations[:-1], e.actions, e.observations[1:], strict=True
        )
    }
    drawn = np.c_[batch.observation, batch.action, batch.next_observation]
    assert {tuple(row) for row in drawn} == known
    assert (batch.terminated == batch.reward).all()
    assert 0 < batch.reward.mean() < 1


def test_steps_of_the_loop_reach_the_memory_as_they_were(reach):
    rows, memory = Rows(2, 2), ReplayMemory(2, 2, 100, 0.9, 0)
    a, b, c = np.eye(3, 2, dtype=np.float32)
    memory.extend(rows.step(0, 0, a, a, 0.0, b, False, False))
    memory.extend(rows.step(1, 0, b, b, 0.0, c, False, True))  # the time is up
    (episode,) = memory.extend(rows.step(2, 1, c, c, 1.0, a, True, False))
    assert (episode.number, episode.length, episode.success) == (1, 1, True)
    batch = memory.sample(200)
    following = {tuple(row): tuple(then) for row, then in
                 zip(batch.observation, batch.next_observation, strict=True)}  # fmt: skip
    assert following == {tuple(a): tuple(b), tuple(b): tuple(c), tuple(c): tuple(a)}
    assert set(batch.terminated[(batch.observation == b).all(1)]) == {0.0}


def make_batch(size: int = 64) -> Batch:
    rng = np.random.default_rng(0)
    observation, following = rng.normal(size=(2, size, 2))
    arrays = [observation, rng.uniform(-1, 1, (size, 2)), rng.random(size), following]
    arrays += [np.ones(size), np.full(size, 0.9), np.zeros(size)]
    return Batch(*(torch.from_numpy(array.astype(np.float32)) for array in arrays))


def test_the_density_is_that_of_a_tanh_gaussian():
    config = METHODS["rlpd"].config
    sac = Sac(gaussian(Actor(2, 2, (8,)), 0.7), config, 0)
    observation = make_batch().observation
    with torch.no_grad():
        action, density = sac._sample(observation)
        mean, log_std = sac.actor(observation).chunk(2, 1)
    assert torch.allclose(log_std.exp(), torch.tensor(0.7))
    theirs = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mean, 0.7), torch.distributions.TanhTransform()
    )
    assert torch.allclose(density, theirs.log_prob(action).sum(1), atol=1e-3)


def test_critics_learn_the_reward_where_the_episode_ends():
    config = METHODS["rlpd"].config.model_copy(update=SMALL | {"learning_rate": 1e-2})
    sac, batch = Sac(gaussian(Actor(2, 2, (8,)), 1.0), config, 0), make_batch()
    for _ in range(300):
        sac.update_critics(batch)
    with torch.no_grad():
        values = sac.critics(batch.observation, batch.action).mean(0)
    assert (values - batch.reward).square().mean() < 0.3 * batch.reward.var()


def test_the_actor_climbs_what_the_lowest_critic_says():
    sac, data = Sac(gaussian(Actor(2, 2, (8,)), 1.0), METHODS["naive_sac"].config, 0), make_batch()
    # Two critics that disagree on where the value rises: their lowest is a roof.
    observation, action = data.observation, data.action.clone().requires_grad_()
    joined = torch.cat([observation, action], 1)
    values = torch.stack([value(layers, joined) for layers in sac.critics.members])
    assert (values[0] < values[1]).any()
    assert (values[0] > values[1]).any()
    (wanted,) = torch.autograd.grad(values.amin(0).sum(), action)
    assert torch.allclose(
        _slope_of_lowest(sac.critics, observation, data.action), wanted, atol=1e-6
    )


@pytest.mark.parametrize(("std", "rises"), [(0.01, True), (0.9, False)])
def test_the_temperature_rises_while_there_is_too_little_entropy(std, rises):
    config = METHODS["naive_sac"].config.model_copy(update=SMALL)
    sac, before = Sac(gaussian(Actor(2, 2, (8,)), std), config, 0), config.initial_temperature
    for _ in range(3):
        sac.update_actor(make_batch())
    assert (sac.temperature > before) is rises


@pytest.mark.slow
def test_stable_baselines_is_asked_as_it_would_answer(reach):
    pytest.importorskip("stable_baselines3", reason="needs benchmarks/requirements.txt")
    learner = METHODS["sac_scratch"].make(reach, reach.make(0), reach.base(0), 0, 200)
    learner.advance(120)
    learner.advance(130)
    assert (learner._model.num_timesteps, learner.gradient_steps) == (130, 30)
    policy = learner.policy()
    for observation in np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32):
        theirs, _ = learner._model.predict(observation, deterministic=True)
        assert np.abs(policy(observation) - theirs).max() < 1e-5


def test_the_dip_is_judged_by_others_than_found_it(reach):
    run = Run(reach, quick("naive_sac", utd=1), 0, 400, Judging(episodes=20, fresh=30))
    result = run.go()
    dip, curve = result["dip"], result["curve"]
    assert curve["env_steps"] == [0, 60, 310, 400]
    assert dip["env_step"] == min(
        (310, 400), key=lambda s: curve["success"][curve["env_steps"].index(s)]
    )
    policy = run._policies[curve["env_steps"].index(dip["env_step"])]
    env = reach.make(0)
    now, base = (evaluate(env, p, 30, 20) for p in (policy, reach.base(0).for_control()))
    assert dip["success"] == now.mean()
    assert dip["change"] == pytest.approx(now.mean() - base.mean())
    assert result["base"] == base.mean()
    error = (now.astype(float) - base).std(ddof=1) / 30**0.5
    assert dip["standard_error"] == pytest.approx(error)
