"""The critics: an ensemble of networks, new at the begin of every fine-tuning."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from porl_ros.learning.mlp import Layer, Record, gradients, layers_in, shapes, value
from porl_ros.learning.products import product


class Critics(nn.Module):
    """Q_i(s, a) of an ensemble. LayerNorm keeps values bounded off the data (RLPD, WSRL).

    All parameters lie in one tensor, `flat` (count, n), a network a row: Adam, the averaging of
    targets and the check for finiteness are then one operation each. The networks are evaluated one
    after the other, which on a CPU is faster than as one batch: their values stay in the cache.
    Values have no gradient of their own; `regress` and `slope` work out the two that are needed.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        hidden: tuple[int, ...],
        count: int,
        layer_norm: bool = True,
    ):
        super().__init__()
        self._sizes, self._layer_norm = [observation_size + action_size, *hidden], layer_norm
        length = sum(torch.Size(shape).numel() for shape in shapes(self._sizes, layer_norm))
        self.flat = nn.Parameter(torch.zeros(count, length))
        self.register_buffer("_gradient", torch.zeros(count, length), persistent=False)
        self._views: dict[str, list[list[Layer]]] = {}
        for layers in self.members:
            for layer in layers:
                _initialise(layer)

    @property
    def members(self) -> list[list[Layer]]:
        """The networks' layers: views into `flat`, without gradient."""
        return self._networks("parameters", self.flat.detach())

    def forward(
        self, observation: Tensor, action: Tensor, members: Iterable[int] | None = None
    ) -> Tensor:
        """(b, k), (b, m) -> values (count, b), or those of some members. Without gradient."""
        joined = torch.cat([observation, action], 1)
        chosen = self.members if members is None else [self.members[i] for i in members]
        with torch.no_grad():
            return torch.stack([value(layers, joined) for layers in chosen])

    @torch.no_grad()
    def regress(self, observation: Tensor, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Values (count, b), and the gradient by `flat` of sum_i mean((Q_i - target)^2).

        The gradient is overwritten by the next call.
        """
        joined = torch.cat([observation, action], 1)
        values = []
        into = self._networks("gradient", self._gradient)
        for layers, gradient in zip(self.members, into, strict=True):
            tape: list[Record] = []
            values.append(value(layers, joined, tape))
            gradients(layers, tape, (values[-1] - target) * (2.0 / len(target)), gradient)
        return torch.stack(values), self._gradient

    @torch.no_grad()
    def slope(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Mean value of the ensemble (b,) and its derivative by the action (b, m)."""
        joined = torch.cat([observation, action], 1)
        total, slope = 0.0, 0.0
        share = joined.new_full((len(joined),), 1.0 / len(self.members))
        for layers in self.members:
            tape: list[Record] = []
            total = total + value(layers, joined, tape)
            flow = gradients(layers, tape, share)
            slope = slope + product(flow, layers[0].weight[:, observation.shape[1] :])
        return total / len(self.members), slope

    def _networks(self, name: str, flat: Tensor) -> list[list[Layer]]:
        """Views of each row; kept, because making them takes 6 us a network."""
        known = self._views.get(name)
        # A copy of this module, or one moved to a device, brings views of other memory along.
        if known is None or known[0][0].weight.data_ptr() != flat.data_ptr():
            known = [layers_in(row, self._sizes, self._layer_norm) for row in flat]
            self._views[name] = known
        return known


@torch.no_grad()
def _initialise(layer: Layer) -> None:
    fresh = nn.Linear(*reversed(layer.weight.shape))
    layer.weight.copy_(fresh.weight)
    layer.bias.copy_(fresh.bias)
    if layer.scale is not None:
        layer.scale.fill_(1.0)
