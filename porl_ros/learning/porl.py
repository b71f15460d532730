"""PORL's gradient updates, readable top to bottom. Equations are in docs/algorithm.md.

Only a policy is given. Critics start from scratch; they first learn the value of the frozen policy
from what it did in the pre-sample stage, and only then does the policy move (arXiv 2505.16856).
"""

import copy
import math
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from porl_ros.errors import PorlError
from porl_ros.learning.adam import Adam
from porl_ros.learning.books import State
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.critic import Critics
from porl_ros.learning.products import quicken
from porl_ros.policy.network import Actor
from porl_ros.replay.memory.replay_memory import Batch

# Below this the critics have seen hardly any success, and dividing by it would amplify their noise
# against the anchor. Returns of a sparse reward lie between 0 and 1.
VALUE_FLOOR = 0.05


class DivergedError(PorlError):
    """A loss is no longer finite; the weights of before the update are still in place."""


class Porl:
    """Actor, frozen base, critics and their updates. One thread; deterministic on CPU given `seed`.

    `actor` is what is learned; `acting`, the running average of its weights, is what is to act: a
    step of the one that turns out wrong is a small one of the other.

    `value_range` bounds the returns that are possible (for a sparse reward 0 and 1): targets are
    clamped to it, so that bootstrapping cannot run away.
    """

    def __init__(
        self,
        actor: Actor,
        config: PorlConfig,
        seed: int,
        device: str = "cpu",
        value_range: tuple[float, float] | None = None,
    ):
        self.config, self.device = config, device
        self._low, self._high = value_range or (-float("inf"), float("inf"))
        self.actor = quicken(copy.deepcopy(actor)).to(device)
        self.base = copy.deepcopy(self.actor).requires_grad_(False)
        self.acting = copy.deepcopy(self.base)
        # Not all: what a residual corrects is frozen.
        learned = [name for name, p in self.actor.named_parameters() if p.requires_grad]
        self._learned = [self.actor.get_parameter(name) for name in learned]
        self._averages = [self.acting.get_parameter(name) for name in learned]
        sizes = actor.observation_size, actor.action_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critics = Critics(
                *sizes, config.critic_hidden, config.critics, config.critic_layer_norm
            ).to(device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        # Of its own: who else draws random numbers in this process changes nothing here.
        self._noise = torch.Generator(device).manual_seed(seed)
        self._choice = random.Random(seed)
        self._critic_adam = Adam([self.critics.flat], config.critic_learning_rate)
        self._actor_adam = Adam(self._learned, config.actor_learning_rate)
        self.critic_updates = self.actor_updates = 0
        self.last_value = torch.tensor(float("nan"))  # mean Q of the last critic batch

    def tune(self, config: PorlConfig) -> None:
        """Go on with other settings, of those that may change: `LIVE`."""
        self.config = config
        self._critic_adam.rate = config.critic_learning_rate

    @torch.no_grad()
    def update_critics(self, batch: Batch, monte_carlo: bool = False) -> Tensor:
        """One step of all critics towards TD targets, or Monte-Carlo returns; the loss, (1,).

        TD: y = r + discount * (1 - terminated) * min_i Q'_i(s', a'), a' = clip(mu(s') + noise),
        over `target_critics` random members i of the ensemble (REDQ). The batch says the discount:
        gamma to the power of the steps in its reward. No entropy term. A truncated transition
        bootstraps like any other.
        """
        data = self._tensors(batch)
        target = data.mc_return if monte_carlo else self._td_target(data)
        target = target.clamp(self._low, self._high)
        observation = self._normalise(data.observation)
        values, gradient = self.critics.regress(observation, data.action, target)
        loss = (values - target).square().sum() / len(target)
        _check("critic", loss, [gradient])
        self._critic_adam.step([gradient])
        self.targets.flat.lerp_(self.critics.flat, self.config.target_rate)
        self.critic_updates += 1
        self.last_value = values.mean()
        return loss

    def _td_target(self, data: Batch) -> Tensor:
        following = data.next_observation
        action = self._explore(self.actor(following))
        value = self.targets(self._normalise(following), action, self._random_members()).amin(0)
        return data.reward + data.discount * (1.0 - data.terminated) * value

    def update_actor(self, batch: Batch, anchor: float, rate: float | None = None) -> Tensor:
        """One step of the policy up the critics' mean, held by the anchor; the loss, (1,). `rate`
        is the learning rate, the first one if left out.

        L = -Q(s, clip(mu)) / max(mean|Q|, floor) + anchor * |mu - mu_base|^2
            + box_penalty * excess(mu)^2

        The clip passes the gradient straight through: a mean outside the box can come back.
        """
        observation = self._tensor(batch.observation)
        mean = self.actor(observation)
        with torch.no_grad():
            loss, by_mean = self._actor_loss(observation, mean, anchor)
        gradients = torch.autograd.grad(mean, self._learned, by_mean)
        _check("actor", loss, gradients)
        self._actor_adam.rate = self.config.actor_learning_rate if rate is None else rate
        self._actor_adam.step(gradients)
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, self._learned, self.config.actor_average_rate)
        self.actor_updates += 1
        return loss

    def _actor_loss(
        self, observation: Tensor, mean: Tensor, anchor: float
    ) -> tuple[Tensor, Tensor]:
        """The loss (1,) and its derivative by `mean` (b, m), term by term."""
        penalty = self.config.box_penalty
        inside = mean.clamp(-1.0, 1.0)
        value, slope = self.critics.slope(self._normalise(observation), inside)
        scale = value.abs().mean().clamp(min=VALUE_FLOOR)
        drift = mean - (self.base(observation) if anchor > 0.0 else mean)
        excess = mean - inside
        held = anchor * drift.square() + penalty * excess.square()
        loss = held.sum(1).mean() - value.mean() / scale
        return loss, (2 * anchor * drift + 2 * penalty * excess - slope / scale) / len(mean)

    def restart_actor(self, actor: Actor) -> None:
        """Take another policy of the same shape; the critics stay, the optimiser forgets."""
        self.actor.load_state_dict(actor.state_dict())
        self.acting.load_state_dict(actor.state_dict())
        self._actor_adam = Adam(self._learned, self.config.actor_learning_rate)

    def state_dict(self) -> State:
        """All that later updates depend on, but for the base."""
        tensors = {name: piece.state_dict() for name, piece in self._pieces().items()}
        tensors["random"] = {"noise": self._noise.get_state()}
        books = {
            "critic_updates": self.critic_updates,
            "actor_updates": self.actor_updates,
            "choice": self._choice.getstate(),
        }
        return State(tensors, {"porl": books})

    def load_state_dict(self, state: State) -> None:
        """Go on exactly where `state_dict` was taken."""
        for name, piece in self._pieces().items():
            piece.load_state_dict(state.tensors[name])
        self._noise.set_state(state.tensors["random"]["noise"])
        books = state.books["porl"]
        self._choice.setstate(books["choice"])
        self.critic_updates, self.actor_updates = books["critic_updates"], books["actor_updates"]

    def _pieces(self) -> dict[str, nn.Module | Adam]:
        return {
            "actor": self.actor,
            "acting": self.acting,
            "critics": self.critics,
            "targets": self.targets,
            "actor_adam": self._actor_adam,
            "critic_adam": self._critic_adam,
        }

    def value(self, batch: Batch) -> np.ndarray:
        """Mean value of the ensemble for a batch's observations and actions, (b,)."""
        data = self._tensors(batch)
        values = self.critics(self._normalise(data.observation), data.action)
        return values.mean(0).cpu().numpy()

    def _random_members(self) -> list[int]:
        """Those of the ensemble whose lowest value is the target; all where there are not more."""
        count = self.config.critics
        return self._choice.sample(range(count), min(self.config.target_critics, count))

    def _explore(self, mean: Tensor) -> Tensor:
        noise = torch.randn(mean.shape, generator=self._noise, device=mean.device)
        return (mean + self.config.exploration_std * noise).clamp(-1.0, 1.0)

    def _normalise(self, observation: Tensor) -> Tensor:
        return (observation - self.base.mean) / self.base.std

    def _tensors(self, batch: Batch) -> Batch:
        return Batch(*map(self._tensor, batch))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _check(what: str, loss: Tensor, gradients: Sequence[Tensor]) -> None:
    # One number to look at: on a GPU each look waits for it.
    if math.isfinite(loss + torch.stack(torch._foreach_norm(gradients)).sum()):
        return
    if math.isfinite(loss):
        raise DivergedError(f"the {what} gradient is not finite, at a loss of {loss.item()}")
    raise DivergedError(
        f"the {what} loss is {loss.item()}: check rewards and observations in the store"
    )
