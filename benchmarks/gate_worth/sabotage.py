"""Policies spoiled on purpose, in the ways in which policies go wrong: real bundles, made from a
good one, that load and act like any other."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import ObservationAssembler

SPOILT = 3.0  # noise on weights, in units of their own spread; 1 is shrugged off now and then
FEEDBACK = 0.9  # of the chattering policy on its own last action: just short of growing
NOISY = 1.0  # standard deviation of excessive exploration, in units of the action box


class Sabotage(NamedTuple):
    """What is done to the network, and to the exploration noise (None: it stays)."""

    spoil: Callable[[Actor, RobotConfig], Actor]
    exploration_std: float | None = None


def sabotaged(bundle: Path, name: str, config: RobotConfig, path: Path) -> Path:
    """Write the bundle, spoiled as `name` says, to `path`; returns `path`."""
    good, sabotage = load_bundle(bundle, config), SABOTAGES[name]
    std = sabotage.exploration_std
    save_bundle(
        path, sabotage.spoil(good.actor, config), config.contract, made_by=f"sabotage: {name}",
        version=good.manifest.version + 1,
        exploration_std=good.manifest.exploration_std if std is None else std,
    )  # fmt: skip
    return path


def _weights(actor: Actor) -> list[nn.Linear]:
    return [layer for layer in actor.layers if isinstance(layer, nn.Linear)]


@torch.no_grad()
def _bad_weights(actor: Actor, config: RobotConfig) -> Actor:
    """Noise on every weight, more than the weights of its layer vary."""
    generator = torch.Generator().manual_seed(0)
    for layer in _weights(actor):
        noise = torch.randn(layer.weight.shape, generator=generator)
        layer.weight += SPOILT * layer.weight.std() * noise
    return actor


@torch.no_grad()
def _shuffled_layer(actor: Actor, config: RobotConfig) -> Actor:
    """The units of the last hidden layer in another order than the next layer takes them in."""
    layer = _weights(actor)[-2]
    order = torch.randperm(len(layer.weight), generator=torch.Generator().manual_seed(0))
    layer.weight.copy_(layer.weight[order])
    layer.bias.copy_(layer.bias[order])
    return actor


def _times(factor: float) -> Callable[[Actor, RobotConfig], Actor]:
    @torch.no_grad()
    def spoil(actor: Actor, config: RobotConfig) -> Actor:
        head = _weights(actor)[-1]
        head.weight *= factor
        head.bias *= factor
        return actor

    return spoil


@torch.no_grad()
def _swapped_axes(actor: Actor, config: RobotConfig) -> Actor:
    """x goes to y, y to z, z to x."""
    head = _weights(actor)[-1]
    head.weight.copy_(head.weight.roll(1, 0))
    head.bias.copy_(head.bias.roll(1, 0))
    return actor


@torch.no_grad()
def _constant(actor: Actor, config: RobotConfig) -> Actor:
    """Half speed along every axis, whatever is seen."""
    head = _weights(actor)[-1]
    head.weight.zero_()
    head.bias.fill_(-0.5)
    return actor


@torch.no_grad()
def _chattering(actor: Actor, config: RobotConfig) -> Actor:
    """action = mean + FEEDBACK * (mean - last action): right on average, and never at rest.

    The network is widened by two units a layer and axis, which carry the positive and the negative
    part of the last action from the observation to the head.
    """
    names = ObservationAssembler(config).names
    seen = [i for i, name in enumerate(names) if name.startswith("last_action.")]
    count, old = len(seen), _weights(actor)
    wide = Actor(
        actor.observation_size, actor.action_size, tuple(h + 2 * count for h in actor.hidden)
    )
    wide.set_normalisation(actor.mean.numpy(), actor.std.numpy())
    new = _weights(wide)
    for layer, source in zip(new, old, strict=True):
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[: len(source.weight), : source.weight.shape[1]] = source.weight
        layer.bias[: len(source.bias)] = source.bias
    both = torch.cat([torch.eye(count), -torch.eye(count)])  # positive and negative parts
    new[0].weight[-2 * count :, seen] = both * actor.std[seen]
    new[0].bias[-2 * count :] = both @ actor.mean[seen]
    for layer in new[1:-1]:
        layer.weight[-2 * count :, -2 * count :] = torch.eye(2 * count)
    head = new[-1]
    head.weight *= 1.0 + FEEDBACK
    head.bias *= 1.0 + FEEDBACK
    head.weight[:, -2 * count :] = -FEEDBACK * both.T
    return wide


def _as_it_is(actor: Actor, config: RobotConfig) -> Actor:
    return actor


SABOTAGES = {
    "bad weights": Sabotage(_bad_weights),
    "shuffled layer": Sabotage(_shuffled_layer),
    "action too large": Sabotage(_times(10.0)),
    "action too small": Sabotage(_times(0.1)),
    "flipped sign": Sabotage(_times(-1.0)),
    "swapped axes": Sabotage(_swapped_axes),
    "constant action": Sabotage(_constant),
    "chattering": Sabotage(_chattering),
    "excessive exploration": Sabotage(_as_it_is, NOISY),
}
