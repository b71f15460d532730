"""Soft actor-critic with what its variants differ in as options; two rivals are made of it.

Haarnoja et al. 2018 (arXiv 1812.05905) with automatic temperature. The options are those of RLPD
(arXiv 2302.02948): LayerNorm in the critics, their mean for the actor, no entropy in the backup.
"""

import copy
import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from porl_ros.configfile import StrictModel, Width
from porl_ros.learning.adam import Adam
from porl_ros.learning.critic import Critics
from porl_ros.learning.mlp import Record, gradients, value
from porl_ros.learning.products import quicken
from porl_ros.policy.network import Actor
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
    """Actor (a network from `gaussian`), critics, temperature. Deterministic given `seed`.

    Made of the parts of the product's learner, so that an update takes about as long as its.
    """

    def __init__(self, actor: Actor, config: SacConfig, seed: int):
        self.config, self.actor = config, quicken(copy.deepcopy(actor))
        self._random = torch.Generator().manual_seed(seed)
        sizes = actor.observation_size, actor.action_size // 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critics = Critics(*sizes, config.critic_hidden, config.critics, config.layer_norm)
        self.targets = copy.deepcopy(self.critics)
        self._log_temperature = torch.tensor([math.log(config.initial_temperature)])
        self._target_entropy = config.target_entropy * sizes[1]
        self._learned = list(self.actor.parameters())
        self._actor_adam = Adam(self._learned, config.learning_rate)
        self._critic_adam = Adam([self.critics.flat], config.learning_rate)
        self._temperature_adam = Adam([self._log_temperature], config.learning_rate)
        self.critic_updates = self.actor_updates = 0

    @property
    def temperature(self) -> float:
        return math.exp(self._log_temperature)

    @torch.no_grad()
    def update_critics(self, data: Batch) -> None:
        """y = r + discount * (1 - terminated) * (min over a random pair of Q' [- alpha log pi])."""
        action, log_density = self._sample(data.next_observation)
        pair = torch.randperm(self.config.critics, generator=self._random)[:2].tolist()
        future = self.targets(self._normalise(data.next_observation), action, pair).amin(0)
        if self.config.entropy_in_backup:
            future = future - self.temperature * log_density
        target = data.reward + data.discount * (1.0 - data.terminated) * future
        observation = self._normalise(data.observation)
        _, gradient = self.critics.regress(observation, data.action, target)
        self._critic_adam.step([gradient])
        self.targets.flat.lerp_(self.critics.flat, self.config.target_rate)
        self.critic_updates += 1

    def update_actor(self, data: Batch) -> None:
        """Actor: down alpha log pi - Q. Temperature: towards the target entropy."""
        action, log_density = self._sample(data.observation)
        observation, fixed = self._normalise(data.observation), action.detach()
        if self.config.actor_value == "mean":
            _, slope = self.critics.slope(observation, fixed)
        else:
            slope = _slope_of_lowest(self.critics, observation, fixed)
        loss = (self.temperature * log_density - (slope * action).sum(1)).mean()
        self._actor_adam.step(torch.autograd.grad(loss, self._learned))
        missing = (log_density.detach() + self._target_entropy).mean()
        self._temperature_adam.step([-missing.reshape(1)])
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


@torch.no_grad()
def _slope_of_lowest(critics: Critics, observation: Tensor, action: Tensor) -> Tensor:
    """Derivative by the action (b, m) of the lowest value of the ensemble."""
    joined = torch.cat([observation, action], 1)
    tapes: list[list[Record]] = [[] for _ in critics.members]
    values = [
        value(network, joined, tape) for network, tape in zip(critics.members, tapes, strict=True)
    ]
    lowest, total = torch.stack(values).argmin(0), torch.zeros_like(action)
    for number, (network, tape) in enumerate(zip(critics.members, tapes, strict=True)):
        flow = gradients(network, tape, (lowest == number).float())
        total += flow @ network[0].weight[:, observation.shape[1] :]
    return total
