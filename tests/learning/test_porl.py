"""PORL's updates against values that can be worked out by hand."""

import copy

import numpy as np
import pytest
import torch

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import DivergedError, Porl
from porl_ros.policy.network import Actor
from porl_ros.replay.memory.replay_memory import Batch

GAMMA = 0.9
QUICK = {
    "discount": GAMMA,
    "critic_hidden": (32,),
    "critic_learning_rate": 3e-3,
    "target_rate": 0.05,
    "exploration_std": 0.0,
    "actor_learning_rate": 3e-3,
}


def make_actor(mean: float = 0.0) -> Actor:
    """One linear layer over two states, with the same mean action (1,) in both."""
    actor = Actor(2, 1, ())
    with torch.no_grad():
        actor.layers[0].weight.zero_()
        actor.layers[0].bias.fill_(mean)
    return actor


def make_porl(mean: float = 0.0, value_range=None, **settings) -> Porl:
    return Porl(make_actor(mean), PorlConfig(**QUICK | settings), 0, value_range=value_range)


def two_states(reward: float, terminated: bool, returns=(np.nan, np.nan)) -> Batch:
    """A leads to B without reward; B pays and ends, or leads back to A."""
    states = np.eye(2, dtype=np.float32)
    return Batch(
        observation=states,
        action=np.zeros((2, 1), np.float32),
        reward=np.array([0.0, reward], np.float32),
        next_observation=states[::-1].copy(),
        terminated=np.array([0.0, terminated], np.float32),
        discount=np.full(2, GAMMA, np.float32),
        mc_return=np.array(returns, np.float32),
    )


def learned(porl: Porl, batch: Batch, updates: int = 400, **kind) -> np.ndarray:
    """Values of A and B after so many updates."""
    for _ in range(updates):
        porl.update_critics(batch, **kind)
    assert porl.critic_updates == updates
    return porl.value(batch)


def test_termination_ends_the_value():
    values = learned(make_porl(), two_states(1.0, terminated=True))
    assert np.allclose(values, [GAMMA, 1.0], atol=0.02)


def test_truncation_bootstraps():
    values = learned(make_porl(), two_states(0.2, terminated=False), updates=1000)
    at_b = 0.2 / (1 - GAMMA**2)
    assert np.allclose(values, [GAMMA * at_b, at_b], atol=0.03)


def test_monte_carlo_learns_the_returns_it_is_given():
    batch = two_states(1.0, terminated=True, returns=(0.3, 0.7))
    assert np.allclose(learned(make_porl(), batch, monte_carlo=True), [0.3, 0.7], atol=0.02)


def test_targets_stay_in_the_range_of_possible_returns():
    porl = make_porl(value_range=(0.0, 1.0))
    assert np.allclose(learned(porl, two_states(5.0, terminated=False)), [GAMMA, 1.0], atol=0.02)
    porl = make_porl(value_range=(0.0, 1.0))
    assert np.allclose(learned(porl, two_states(-5.0, terminated=True)), [0.0, 0.0], atol=0.02)


def test_the_target_is_the_lower_of_a_pair():
    porl = make_porl(critics=2)
    for member, value in zip(porl.targets.members, (0.9, 0.2), strict=True):
        member[-1].weight.zero_()
        member[-1].bias.fill_(value)
    porl.config = porl.config.model_copy(update={"target_rate": 1e-9})
    values = learned(porl, two_states(0.0, terminated=False))
    assert np.allclose(values, GAMMA * 0.2, atol=0.02)


def test_every_pair_of_a_larger_ensemble_gets_its_turn():
    porl = make_porl(critics=4)
    pairs = {tuple(sorted(porl._random_members())) for _ in range(200)}
    assert pairs == {(i, j) for i in range(4) for j in range(i + 1, 4)}


def test_the_target_critics_follow_slowly():
    porl = make_porl(target_rate=0.25)
    before = copy.deepcopy(porl.targets.state_dict())
    porl.update_critics(two_states(1.0, terminated=True))
    for name, now in porl.critics.state_dict().items():
        expected = before[name] + 0.25 * (now - before[name])
        assert torch.allclose(porl.targets.state_dict()[name], expected, atol=1e-6)


class Hill:
    """Critics that know best: the value falls with the distance from `top`."""

    def __init__(self, top: float):
        self.top = top

    def slope(self, observation, action):
        return -(action - self.top).square().sum(1), 2 * (self.top - action)


def climbed(porl: Porl, top: float, anchor: float, updates: int = 400) -> float:
    """The mean action after so many updates on the hill."""
    porl.critics = Hill(top)
    batch = two_states(0.0, terminated=False)
    for _ in range(updates):
        porl.update_actor(batch, anchor)
    assert porl.actor_updates == updates
    with torch.no_grad():
        return float(porl.actor(torch.eye(2)).mean())


def test_the_actor_climbs_the_critics():
    assert climbed(make_porl(), top=0.5, anchor=0.0) == pytest.approx(0.5, abs=0.05)


def test_the_anchor_holds_it_near_the_frozen_policy():
    loose, firm = (climbed(make_porl(), top=0.5, anchor=anchor) for anchor in (0.1, 100.0))
    assert 0.2 < loose < 0.5
    assert abs(firm) < 0.05


class Quadratic:
    """Critics that autograd can look through."""

    def value(self, action):
        return (1.5 * action - action.square()).sum(1) + 0.3

    def slope(self, observation, action):
        return self.value(action), 1.5 - 2 * action


@pytest.mark.parametrize("anchor", [0.0, 0.7])
def test_the_actor_follows_the_derivative_of_its_loss(anchor):
    porl = make_porl(0.2, box_penalty=0.4)
    porl.critics = Quadratic()
    observation = torch.eye(2)
    mean = torch.tensor([[1.3], [-0.4]], requires_grad=True)
    inside = mean + (mean.clamp(-1, 1) - mean).detach()  # straight through
    value = porl.critics.value(inside)
    expected = -value.mean() / value.detach().abs().mean()
    expected = expected + anchor * (mean - porl.base(observation)).square().sum(1).mean()
    expected = expected + 0.4 * (mean.abs() - 1).clamp(min=0).square().sum(1).mean()
    (by_mean,) = torch.autograd.grad(expected, mean)
    loss, found = porl._actor_loss(observation, mean.detach(), anchor)
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(found, by_mean)


def test_the_frozen_policy_stays_frozen():
    porl = make_porl(0.1)
    climbed(porl, top=0.5, anchor=0.0, updates=10)
    assert torch.equal(porl.base.layers[0].bias, torch.tensor([0.1]))


def test_a_mean_outside_of_the_box_comes_back():
    mean = climbed(make_porl(1.5, box_penalty=0.0), top=0.0, anchor=0.0, updates=600)
    assert abs(mean) < 0.9


def test_what_acts_is_the_running_average_of_what_is_learned():
    porl, batch = make_porl(actor_average_rate=0.25), two_states(0.0, terminated=False)
    average = {n: p.clone() for n, p in porl.acting.state_dict().items()}
    for _ in range(3):
        porl.update_actor(batch, 0.1)
        for name, now in porl.actor.state_dict().items():
            average[name] += 0.25 * (now - average[name])
    for name, expected in average.items():
        assert torch.allclose(porl.acting.state_dict()[name], expected, atol=1e-6)
    assert not torch.equal(porl.acting.layers[0].weight, porl.actor.layers[0].weight)


def test_averaged_at_once_what_is_learned_acts():
    porl = make_porl(actor_average_rate=1.0)
    porl.update_actor(two_states(0.0, terminated=False), 0.1)
    assert torch.equal(porl.acting.layers[0].weight, porl.actor.layers[0].weight)


def test_a_step_is_as_long_as_the_rate_says():
    def moved(rate):
        porl = make_porl()
        before = porl.actor.layers[0].weight.clone()
        porl.update_actor(two_states(0.0, terminated=False), 0.1, rate)
        return (porl.actor.layers[0].weight - before).abs().max().item()

    assert moved(1e-3) == pytest.approx(10 * moved(1e-4), rel=1e-2)


def test_the_box_penalty_keeps_the_mean_from_running_away():
    def distance(penalty):
        return climbed(make_porl(0.9, box_penalty=penalty), top=3.0, anchor=0.0, updates=600)

    assert distance(100.0) < 1.1 < distance(0.0)


def weights(porl: Porl) -> list[torch.Tensor]:
    modules = porl.critics, porl.targets, porl.actor, porl.acting, porl.base
    return [p.detach().clone() for module in modules for p in module.parameters()]


@pytest.mark.parametrize("reward", [np.nan, np.inf])
def test_rewards_that_are_not_finite_stop_it_with_the_weights_unchanged(reward):
    porl = make_porl()
    porl.update_critics(two_states(1.0, terminated=True))
    before = weights(porl)
    with pytest.raises(DivergedError, match="critic loss is (nan|inf): check rewards"):
        porl.update_critics(two_states(reward, terminated=True))
    assert all(torch.equal(a, b) for a, b in zip(before, weights(porl), strict=True))
    assert porl.critic_updates == 1


def test_observations_that_are_not_finite_stop_the_actor_unchanged():
    porl, batch = make_porl(), two_states(1.0, terminated=True)
    before = weights(porl)
    with pytest.raises(DivergedError, match="actor loss is nan"):
        porl.update_actor(batch._replace(observation=np.full((2, 2), np.nan, np.float32)), 0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(porl), strict=True))


def test_a_gradient_that_is_not_finite_stops_it_even_if_the_loss_is():
    porl, batch = make_porl(critic_layer_norm=False), two_states(1.0, terminated=True)
    for layers in porl.critics.members:
        layers[0].weight.mul_(1e-25)
    before = weights(porl)
    far_off = batch._replace(observation=batch.observation * np.float32(1e25))
    with pytest.raises(DivergedError, match="critic gradient is not finite, at a loss of"):
        porl.update_critics(far_off)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(porl), strict=True))


def trained(seed: int, disturb: bool = False) -> list[torch.Tensor]:
    if disturb:
        torch.rand(7)
    porl = Porl(make_actor(), PorlConfig(**QUICK | {"exploration_std": 0.3}), seed)
    for _ in range(5):
        porl.update_critics(two_states(1.0, terminated=False))
        porl.update_actor(two_states(1.0, terminated=False), 0.1)
        if disturb:
            torch.rand(7)
    return weights(porl)


def test_the_seed_decides_whatever_else_draws_random_numbers():
    first, again, other = trained(0), trained(0, disturb=True), trained(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_it_leaves_the_random_numbers_of_others_alone():
    actor = make_actor()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Porl(actor, PorlConfig(**QUICK), 0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_a_gpu_learns_the_same_values():
    porl = Porl(make_actor(), PorlConfig(**QUICK), 0, device="cuda")
    values = learned(porl, two_states(1.0, terminated=True))
    assert np.allclose(values, [GAMMA, 1.0], atol=0.02)
    porl.update_actor(two_states(1.0, terminated=True), 0.1)
