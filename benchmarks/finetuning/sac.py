"""Soft actor-critic with what its variants differ in as options; two rivals are made of it.

Haarnoja et al. 2018 (arXiv 1812.05905) with automatic temperature. The options are those of RLPD
(arXiv 2302.02948): LayerNorm in the critics, their mean for the actor, no entropy in the backup.
"""

import copy
import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from porl_ros.configfile import StrictModel
from porl_ros.policy.network import Actor, Width
from porl_ros.replay import Batch

LOG_STD = (-20.0, 2.0)  # bounds, as in both public codes
BORDER = 0.97  # a cloned mean is kept under this, where its tanh has a finite argument


class SacConfig(StrictModel):
    """Settings of one variant; what must be equal for equal work has no default."""

    learning_starts: int = Field(ge=0, description="environment steps before updates begin")
    utd: int = Field(ge=1)
    actor_delay: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    demonstration_share: float = Field(0.0, ge=0, le=1, description="of each batch (RLPD: 0.5)")
    discount: float = Field(ge=0, le=1)
    target_rate: float = Field(gt=0, le=1)
    critics: int = Field(ge=1)
    critic_hidden: tuple[Width, ...]
    layer_norm: bool
    learning_rate: float = Field(gt=0, description="Adam, of actor, critics and temperature")
    initial_temperature: float = Field(gt=0)
    target_entropy: float = Field(description="per action element: -1 as SAC, -0.5 as RLPD's code")
    entropy_in_backup: bool
    actor_value: Literal["min", "mean"] = Field(description="of the critics, in the actor's loss")
    mean: Literal["squashed", "action"] = Field(
        description="the actor's mean goes through tanh, or is the action, as a clone's is"
    )
    memory_capacity: int = Field(ge=2)


def gaussian(actor: Actor, std: float) -> Actor:
    """A network with twice the outputs: the mean of `actor`, and log(std) in the second half.

    `std` is the same everywhere at first, and learned from then on.
    """
    m = actor.action_size
    wide = Actor(actor.observation_size, 2 * m, actor.hidden)
    state = actor.state_dict()
    last = f"layers.{len(actor.layers) - 1}"
    weight, bias = state[f"{last}.weight"], state[f"{last}.bias"]
    state[f"{last}.weight"] = torch.cat([weight, torch.zeros_like(weight)])
    state[f"{last}.bias"] = torch.cat([bias, torch.full_like(bias, math.log(std))])
    wide.load_state_dict(state)
    return wide


class Sac:
    """Actor (a network from `gaussian`), critics, temperature. Deterministic given `seed`."""

    def __init__(self, actor: Actor, config: SacConfig, seed: int):
        self.config, self.actor = config, copy.deepcopy(actor)
        self._random = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critics = _Critics(actor.observation_size, actor.action_size // 2, config)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self._log_temperature = torch.tensor(
            math.log(config.initial_temperature), requires_grad=True
        )
        self._target_entropy = config.target_entropy * (actor.action_size // 2)
        self._actor_optimiser = _adam(self.actor.parameters(), config)
        self._critic_optimiser = _adam(self.critics.parameters(), config)
        self._temperature_optimiser = _adam([self._log_temperature], config)
        self.critic_updates = self.actor_updates = 0

    @property
    def temperature(self) -> Tensor:
        return self._log_temperature.detach().exp()

    def update_critics(self, data: Batch) -> None:
        """y = r + discount * (1 - terminated) * (min over a random pair of Q' [- alpha log pi])."""
        with torch.no_grad():
            action, log_density = self._sample(data.next_observation)
            values = self.targets(self._normalise(data.next_observation), action)
            value = values[torch.randperm(len(values), generator=self._random)[:2]].amin(0)
            if self.config.entropy_in_backup:
                value = value - self.temperature * log_density
            target = data.reward + data.discount * (1.0 - data.terminated) * value
        values = self.critics(self._normalise(data.observation), data.action)
        loss = F.mse_loss(values, target.expand_as(values), reduction="sum") / len(target)
        _step(self._critic_optimiser, loss)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.targets.parameters()),
                list(self.critics.parameters()),
                self.config.target_rate,
            )
        self.critic_updates += 1

    def update_actor(self, data: Batch) -> None:
        """Actor: alpha log pi - Q. Temperature: towards the target entropy."""
        action, log_density = self._sample(data.observation)
        self.critics.requires_grad_(False)
        values = self.critics(self._normalise(data.observation), action)
        self.critics.requires_grad_(True)
        value = values.amin(0) if self.config.actor_value == "min" else values.mean(0)
        _step(self._actor_optimiser, (self.temperature * log_density - value).mean())
        missing = (log_density.detach() + self._target_entropy).mean()
        _step(self._temperature_optimiser, -self._log_temperature * missing)
        self.actor_updates += 1

    def _sample(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Action (b, m) and its log density (b,)."""
        mean, log_std = self.actor(observation).chunk(2, 1)
        if self.config.mean == "action":
            # Straight through: a mean beyond the border can come back.
            mean = torch.atanh(mean + (mean.clamp(-BORDER, BORDER) - mean).detach())
        log_std = log_std.clamp(*LOG_STD)
        noise = torch.randn(mean.shape, generator=self._random)
        raw = mean + log_std.exp() * noise
        density = -0.5 * (noise.square() + math.log(2 * math.pi)) - log_std
        stretch = 2.0 * (math.log(2.0) - raw - F.softplus(-2.0 * raw))  # log(1 - tanh^2)
        return torch.tanh(raw), (density - stretch).sum(1)

    def _normalise(self, observation: Tensor) -> Tensor:
        return (observation - self.actor.mean) / self.actor.std


class _Critics(nn.Module):
    """Q_i(s, a) of an ensemble, new."""

    def __init__(self, observation_size: int, action_size: int, config: SacConfig):
        super().__init__()
        sizes = [observation_size + action_size, *config.critic_hidden]
        members = (_network(sizes, config.layer_norm) for _ in range(config.critics))
        self.members = nn.ModuleList(members)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(b, k), (b, m) -> values (count, b)."""
        joined = torch.cat([observation, action], 1)
        return torch.stack([member(joined).squeeze(1) for member in self.members])


def _network(sizes: list[int], layer_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out)]
        layers += [nn.LayerNorm(fan_out)] if layer_norm else []
        layers += [nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))


def _adam(parameters, config: SacConfig) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, config.learning_rate, fused=True)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
