"""The critics: an ensemble of LayerNorm networks, new at the begin of every fine-tuning."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class Critics(nn.Module):
    """Q_i(s, a) of an ensemble. LayerNorm keeps values bounded off the data (RLPD, WSRL).

    A list of networks: on a CPU that is faster than one batched product (measured).
    """

    def __init__(
        self, observation_size: int, action_size: int, hidden: tuple[int, ...], count: int
    ):
        super().__init__()
        sizes = [observation_size + action_size, *hidden]
        self.members = nn.ModuleList(_network(sizes) for _ in range(count))

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """(b, k), (b, m) -> values (count, b)."""
        joined = torch.cat([observation, action], 1)
        return torch.stack([member(joined).squeeze(1) for member in self.members])


def _network(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.LayerNorm(fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 1))
