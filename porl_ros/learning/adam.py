"""Adam (arXiv 1412.6980) as torch's fused kernel alone."""

from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Descends `parameters` by gradients that are handed in. One thread.

    torch.optim.Adam does the same, but at our sizes what it does around its kernel takes two to
    four times as long as the kernel (docs/learner_speed.md).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ):
        self._parameters = [parameter.detach() for parameter in parameters]
        self._options = {
            "lr": rate, "beta1": betas[0], "beta2": betas[1], "eps": epsilon,
            "weight_decay": 0.0, "amsgrad": False, "maximize": False,
        }  # fmt: skip
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = torch.zeros((), device=self._parameters[0].device)

    @property
    def rate(self) -> float:
        """The learning rate, of the steps from now on."""
        return self._options["lr"]

    @rate.setter
    def rate(self, rate: float) -> None:
        self._options["lr"] = rate

    def state_dict(self) -> dict[str, Tensor]:
        """What it remembers of earlier steps, not copied."""
        moments = {"means": self._means, "squares": self._squares}
        named = {f"{k}.{i}": t for k, many in moments.items() for i, t in enumerate(many)}
        return named | {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what `state_dict` gave, of parameters of the same shapes."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])

    def step(self, gradients: list[Tensor]) -> None:
        """One step down `gradients`, of the parameters' shapes and in their order."""
        self._steps += 1
        torch._fused_adam_(
            self._parameters, gradients, self._means, self._squares, [],
            [self._steps] * len(gradients), **self._options,
        )  # fmt: skip
