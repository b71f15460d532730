"""The policy network. Its mean is not squashed: a tanh head that saturates cannot be fine-tuned."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn


class Actor(nn.Module):
    """Normalises the observation, then a ReLU network to the mean action.

    The mean may leave [-1, 1]; whoever acts clips it. A mean that cloning pushed to the border can
    thus come back, because the gradient does not vanish there (see docs/algorithm.md).
    """

    def __init__(
        self, observation_size: int, action_size: int, hidden: tuple[int, ...] = (256, 256)
    ):
        super().__init__()
        self.observation_size, self.action_size, self.hidden = (
            observation_size,
            action_size,
            tuple(hidden),
        )
        self.register_buffer("mean", torch.zeros(observation_size))
        self.register_buffer("std", torch.ones(observation_size))
        sizes = [observation_size, *hidden, action_size]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def set_normalisation(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Statistics of the observation, each of shape (observation_size,)."""
        self.mean.copy_(torch.as_tensor(mean))
        self.std.copy_(torch.as_tensor(std))

    def forward(self, observation: Tensor) -> Tensor:
        """(batch, observation_size) -> mean action (batch, action_size)."""
        return self.layers((observation - self.mean) / self.std)

    def for_control(self) -> "NumpyActor":
        """The same function for one observation, as it is now; see NumpyActor."""
        return NumpyActor(self)


class NumpyActor:
    """The same function for one observation without torch, for the control path.

    A call costs tens of microseconds and never touches torch's threads, which training uses.
    """

    def __init__(self, actor: Actor):
        arrays = {
            key: value.detach().cpu().numpy().copy() for key, value in actor.state_dict().items()
        }
        self._mean, self._std = arrays["mean"], arrays["std"]
        weights = sorted(
            (k for k in arrays if k.endswith("weight")), key=lambda k: int(k.split(".")[1])
        )
        self._layers = [(arrays[k].T.copy(), arrays[k.replace("weight", "bias")]) for k in weights]

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """float32 (observation_size,) -> float32 (action_size,)."""
        hidden = (observation - self._mean) / self._std
        for weight, bias in self._layers[:-1]:
            hidden = np.maximum(hidden @ weight + bias, 0.0)
        weight, bias = self._layers[-1]
        return hidden @ weight + bias


class TorchActor:
    """The same function for one observation on a GPU."""

    def __init__(self, actor: Actor, device: str):
        self._actor = actor.to(device).eval()
        self._device = device

    @torch.inference_mode()
    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """float32 (observation_size,) -> float32 (action_size,)."""
        batch = torch.from_numpy(observation).to(self._device).unsqueeze(0)
        return self._actor(batch)[0].cpu().numpy()
