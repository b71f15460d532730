"""SAC in plain torch, as CleanRL writes it; on a GPU compiled and replayed as one CUDA graph.

That is how fast single-file implementations are made (LeanRL). The transitions lie on the device,
and an update draws its own batch there, so nothing leaves the graph.
"""

import copy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_STD = -5.0, 2.0  # bounds, CleanRL
TEMPERATURE, DISCOUNT, TARGET_RATE, LEARNING_RATE = 0.1, 0.99, 0.005, 3e-4
WARMUPS = 3  # updates before a graph is captured, which torch asks for


def _network(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PlainSac:
    """One `update` a call: critics, actor and targets, at a fixed temperature."""

    def __init__(
        self, data: dict[str, Tensor], width: int, critics: int, batch: int, fast: bool = False
    ):
        """`data`: observation, action, reward, next_observation, terminated, on the device.

        `fast` compiles the losses and, on a GPU, captures the update as a graph.
        """
        self._data, self._batch = data, batch
        device = data["reward"].device
        self._action_size = data["action"].shape[1]
        sizes = [data["observation"].shape[1], width, width]
        self._actor = _network([*sizes, 2 * self._action_size]).to(device)
        sizes[0] += self._action_size
        self._critics = nn.ModuleList(_network([*sizes, 1]) for _ in range(critics)).to(device)
        self._targets = copy.deepcopy(self._critics).requires_grad_(False)
        options = {"fused": True, "capturable": True} if device.type == "cuda" else {}
        self._critic_adam = torch.optim.Adam(self._critics.parameters(), LEARNING_RATE, **options)
        self._actor_adam = torch.optim.Adam(self._actor.parameters(), LEARNING_RATE, **options)
        self.update = self._update
        if fast:
            self._critic_loss = torch.compile(self._critic_loss)
            self._actor_loss = torch.compile(self._actor_loss)
            if device.type == "cuda":
                self.update = _captured(self._update)

    def _update(self) -> None:
        data, device = self._data, self._data["reward"].device
        index = torch.randint(len(data["reward"]), (self._batch,), device=device)
        batch = {name: values[index] for name, values in data.items()}
        _descend(self._critic_adam, self._critic_loss(batch), self._critics)
        _descend(self._actor_adam, self._actor_loss(batch), self._actor)
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._targets.parameters()), list(self._critics.parameters()), TARGET_RATE
            )

    def _critic_loss(self, batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            action, log_density = self._act(batch["next_observation"])
            value = _values(self._targets, batch["next_observation"], action).amin(0)
            future = (1.0 - batch["terminated"]) * (value - TEMPERATURE * log_density)
            target = batch["reward"] + DISCOUNT * future
        values = _values(self._critics, batch["observation"], batch["action"])
        return F.mse_loss(values, target.expand_as(values), reduction="sum") / self._batch

    def _actor_loss(self, batch: dict[str, Tensor]) -> Tensor:
        action, log_density = self._act(batch["observation"])
        value = _values(self._critics, batch["observation"], action).amin(0)
        return (TEMPERATURE * log_density - value).mean()

    def _act(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self._actor(observation).split(self._action_size, 1)
        low, high = LOG_STD
        log_std = low + 0.5 * (high - low) * (torch.tanh(spread) + 1.0)
        noise = torch.randn_like(mean)
        action = torch.tanh(mean + log_std.exp() * noise)
        density = -0.5 * noise.square() - log_std - torch.log(1.0 - action.square() + 1e-6)
        return action, density.sum(1)


def _values(critics: nn.ModuleList, observation: Tensor, action: Tensor) -> Tensor:
    joined = torch.cat([observation, action], 1)
    return torch.stack([critic(joined).squeeze(1) for critic in critics])


def _descend(adam: torch.optim.Adam, loss: Tensor, module: nn.Module) -> None:
    parameters = list(module.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    adam.step()


def _captured(update):
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARMUPS):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update()
    return graph.replay
