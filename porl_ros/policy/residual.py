"""Improving a policy that stays as it is: a small, bounded correction on top of a frozen base.

For policies that cannot be differentiated or must not be changed. Source of the idea: residual
policy learning (arXiv 1812.06298); bounded, and with the base's action as an input, as in Policy
Decorator (arXiv 2412.13630).
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from porl_ros.policy.network import Actor
from porl_ros.policy.program import FrozenNetwork

HIDDEN = (128, 128)


class BlackBox(nn.Module):
    """Any callable policy as a module: no weights, no gradient.

    `function` maps observations (batch, n) float32 to mean actions (batch, m), the same for the
    same observation. `mean` and `std` (n) normalise observations for what learns on top of it.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        mean: np.ndarray,
        std: np.ndarray,
        action_size: int,
    ):
        super().__init__()
        self.function, self.action_size, self.observation_size = function, action_size, len(mean)
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32))

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, n) -> mean action (batch, m), clipped to the box."""
        action = np.asarray(self.function(observation.detach().cpu().numpy()), np.float32)
        return torch.from_numpy(action).to(observation.device).clamp(-1.0, 1.0)

    def for_control(self) -> Callable[[np.ndarray], np.ndarray]:
        """The function for one observation."""
        return lambda observation: np.clip(self.function(observation[None])[0], -1.0, 1.0)


class ResidualActor(nn.Module):
    """mu(s) = base(s) + scale * tanh(f(s, base(s))), with f(.) = 0 at first: it begins as the base.

    `scale` bounds the correction, in units of the action box. Only f is learned.
    """

    def __init__(
        self,
        base: Actor | FrozenNetwork | BlackBox,
        scale: float,
        hidden: tuple[int, ...] = HIDDEN,
    ):
        """Raises ValueError for a scale that is not above 0 and at most 2."""
        super().__init__()
        if not 0.0 < scale <= 2.0:
            raise ValueError(f"scale: {scale} must be above 0 and at most 2, the width of the box")
        self.observation_size, self.action_size = base.observation_size, base.action_size
        self.scale, self.hidden = scale, tuple(hidden)
        self.base = copy.deepcopy(base).requires_grad_(False)
        self.correction = Actor(self.observation_size + self.action_size, self.action_size, hidden)
        nn.init.zeros_(self.correction.layers[-1].weight)
        nn.init.zeros_(self.correction.layers[-1].bias)

    @property
    def mean(self) -> Tensor:
        return self.base.mean

    @property
    def std(self) -> Tensor:
        return self.base.std

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, n) -> mean action (batch, m)."""
        with torch.no_grad():
            action = self.base(observation)
            known = torch.cat([(observation - self.mean) / self.std, action], 1)
        return action + self.scale * torch.tanh(self.correction(known))

    def for_control(self) -> Callable[[np.ndarray], np.ndarray]:
        """The same function for one observation, in NumPy."""
        base, correction, scale = self.base.for_control(), self.correction.for_control(), self.scale
        mean, std = self.mean.cpu().numpy().copy(), self.std.cpu().numpy().copy()

        def act(observation: np.ndarray) -> np.ndarray:
            action = base(observation)
            known = np.concatenate([(observation - mean) / std, action])
            return action + scale * np.tanh(correction(known))

        return act
