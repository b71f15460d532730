"""PORL's gradient updates, readable top to bottom. Equations are in docs/algorithm.md.

Only a policy is given. Critics start from scratch; they first learn the value of the frozen policy
from what it did in the pre-sample stage, and only then does the policy move (arXiv 2505.16856).
"""

import copy

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from porl_ros.errors import PorlError
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.critic import Critics
from porl_ros.policy.network import Actor
from porl_ros.replay.memory import Batch

# Below this the critics have seen hardly any success, and dividing by it would amplify their noise
# against the anchor. Returns of a sparse reward lie between 0 and 1.
VALUE_FLOOR = 0.05


class DivergedError(PorlError):
    """A loss is no longer finite; the weights of before the update are still in place."""


class _InsideBox(torch.autograd.Function):
    """Clip to [-1, 1] with a straight-through gradient: a mean outside can come back."""

    @staticmethod
    def forward(ctx, action: Tensor) -> Tensor:
        return action.clamp(-1.0, 1.0)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient


class Porl:
    """Actor, frozen base, critics and their updates. One thread; deterministic on CPU given `seed`.

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
        self.actor = copy.deepcopy(actor).to(device)
        self.base = copy.deepcopy(actor).to(device).requires_grad_(False)
        sizes = actor.observation_size, actor.action_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.critics = Critics(*sizes, config.critic_hidden, config.critics).to(device)
        # Of its own: who else draws random numbers in this process changes nothing here.
        self._random = torch.Generator(device).manual_seed(seed)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self._critic_parameters = list(self.critics.parameters())
        self._target_parameters = list(self.targets.parameters())
        self._critic_optimiser = _adam(self.critics, config.critic_learning_rate)
        self._actor_optimiser = _adam(self.actor, config.actor_learning_rate)
        self.critic_updates = self.actor_updates = 0
        self.last_value = torch.tensor(float("nan"))  # mean Q of the last critic batch

    def update_critics(self, batch: Batch, monte_carlo: bool = False) -> Tensor:
        """One step of all critics towards TD targets, or Monte-Carlo returns; the loss, (1,).

        TD: y = r + discount * (1 - terminated) * min_i Q'_i(s', a'), a' = clip(mu(s') + noise),
        over a random pair i of the ensemble (REDQ). The batch says the discount: gamma to the power
        of the steps in its reward. No entropy term. A truncated transition bootstraps like any
        other.
        """
        data = self._tensors(batch)
        with torch.no_grad():
            if monte_carlo:
                target = data.mc_return
            else:
                following = data.next_observation
                value = self.targets(
                    self._normalise(following), self._explore(self.actor(following))
                )
                value = value[self._random_pair()].amin(0)
                target = data.reward + data.discount * (1.0 - data.terminated) * value
            target = target.clamp(self._low, self._high)
        values = self.critics(self._normalise(data.observation), data.action)
        loss = F.mse_loss(values, target.expand_as(values), reduction="sum") / len(data.reward)
        _step(self._critic_optimiser, loss, "critic")
        with torch.no_grad():
            torch._foreach_lerp_(
                self._target_parameters, self._critic_parameters, self.config.target_rate
            )
        self.critic_updates += 1
        self.last_value = values.detach().mean()
        return loss.detach()

    def update_actor(self, batch: Batch, anchor: float) -> Tensor:
        """One step of the policy up the critics' mean, held by the anchor; the loss, (1,).

        L = -Q(s, clip(mu)) / max(mean|Q|, floor) + anchor * |mu - mu_base|^2
            + box_penalty * excess(mu)^2
        """
        observation = self._tensors(batch).observation
        mean = self.actor(observation)
        self.critics.requires_grad_(False)  # their gradients are not wanted here: 12 % faster
        value = self.critics(self._normalise(observation), _InsideBox.apply(mean)).mean(0)
        self.critics.requires_grad_(True)
        with torch.no_grad():
            base = self.base(observation)
        loss = -value.mean() / value.detach().abs().mean().clamp(min=VALUE_FLOOR)
        loss = loss + anchor * (mean - base).square().sum(1).mean()
        loss = loss + self.config.box_penalty * F.relu(mean.abs() - 1.0).square().sum(1).mean()
        _step(self._actor_optimiser, loss, "actor")
        self.actor_updates += 1
        return loss.detach()

    def restart_actor(self, actor: Actor) -> None:
        """Take another policy of the same shape; the critics stay, the optimiser forgets."""
        self.actor.load_state_dict(actor.state_dict())
        self._actor_optimiser = _adam(self.actor, self.config.actor_learning_rate)

    def value(self, batch: Batch) -> np.ndarray:
        """Mean value of the ensemble for a batch's observations and actions, (b,)."""
        data = self._tensors(batch)
        with torch.inference_mode():
            values = self.critics(self._normalise(data.observation), data.action)
            return values.mean(0).cpu().numpy()

    def _random_pair(self) -> Tensor:
        """Indices of two members of the ensemble; all of them where there are not more."""
        order = torch.randperm(self.config.critics, generator=self._random, device=self.device)
        return order[:2]

    def _explore(self, mean: Tensor) -> Tensor:
        noise = torch.randn(mean.shape, generator=self._random, device=mean.device)
        return (mean + self.config.exploration_std * noise).clamp(-1.0, 1.0)

    def _normalise(self, observation: Tensor) -> Tensor:
        return (observation - self.base.mean) / self.base.std

    def _tensors(self, batch: Batch) -> Batch:
        return Batch(*(torch.from_numpy(array).to(self.device) for array in batch))


def _adam(module: torch.nn.Module, rate: float) -> torch.optim.Adam:
    # The fused step costs a quarter of the default one at these sizes (measured).
    learned = [p for p in module.parameters() if p.requires_grad]  # a residual's base is frozen
    return torch.optim.Adam(learned, rate, fused=True)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor, what: str) -> None:
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the {what} loss is {loss.item()}: check rewards and observations in the store"
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"]]
    if not torch.isfinite(torch.stack(torch._foreach_norm(gradients)).sum()):
        raise DivergedError(f"the {what} gradient is not finite, at a loss of {loss.item()}")
    optimiser.step()
