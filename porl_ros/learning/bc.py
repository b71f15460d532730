"""Behaviour cloning: demonstrations in, a policy that can later be fine-tuned out."""

from collections.abc import Callable

import numpy as np
import torch
from pydantic import Field

from porl_ros.configfile import StrictModel, Width
from porl_ros.errors import PorlError
from porl_ros.policy.network import Actor

# Features that hardly vary in a few demonstrations must not be blown up by normalising them.
MIN_STD = 0.2


class BcConfig(StrictModel):
    """Settings of cloning; the defaults clone ten demonstrations in seconds on one core."""

    epochs: int = Field(300, ge=1, le=100_000, description="passes over the demonstrations")
    batch_size: int = Field(128, ge=1, le=65_536, description="transitions a gradient step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam, falling to 0 (cosine)")
    hidden: tuple[Width, ...] = Field((256, 256), description="widths of the policy's layers")
    noise: float = Field(
        0.15, ge=0, le=1, description="std of noise on observations, in units of their own std"
    )
    target_limit: float = Field(
        0.9, gt=0, le=1, description="demonstrated actions are kept within +- this, off the border"
    )


def clone(
    observations: np.ndarray,
    actions: np.ndarray,
    config: BcConfig,
    seed: int,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Actor:
    """Fit an actor to (n, k) observations and (n, m) actions by mean squared error.

    Actions at the border of the box are pulled inside (`target_limit`) and the head is linear, so
    that the clone is not saturated. `progress` is called after each epoch. Raises PorlError on
    data that cannot be learned from.
    """
    _check(observations, actions)
    torch.manual_seed(seed)
    x = torch.from_numpy(observations.astype(np.float32))
    y = torch.from_numpy(
        np.clip(actions, -config.target_limit, config.target_limit).astype(np.float32)
    )
    actor = Actor(x.shape[1], y.shape[1], config.hidden)
    actor.set_normalisation(observations.mean(0), np.maximum(observations.std(0), MIN_STD))
    steps = config.epochs * -(-len(x) // config.batch_size)
    optimiser = torch.optim.Adam(actor.parameters(), config.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(config.epochs):
        for index in torch.randperm(len(x)).split(config.batch_size):
            seen = x[index] + config.noise * actor.std * torch.randn_like(x[index])
            loss = torch.nn.functional.mse_loss(actor(seen), y[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
        progress(epoch, float(loss.detach()))
    return actor


def _check(observations: np.ndarray, actions: np.ndarray) -> None:
    if len(observations) == 0 or len(observations) != len(actions):
        raise PorlError(
            f"{len(observations)} observations and {len(actions)} actions: "
            "record demonstrations first"
        )
    for name, values in (("observations", observations), ("actions", actions)):
        if not np.isfinite(values).all():
            raise PorlError(
                f"{name}: {np.count_nonzero(~np.isfinite(values))} values are not finite"
            )
