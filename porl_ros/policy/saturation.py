"""Whether a policy can be fine-tuned: one that always asks for the border learns one action."""

from collections.abc import Mapping

import numpy as np
import torch

from porl_ros.policy.network import Actor

LIMIT = 0.5  # share of observations outside the box from which an element counts as stuck


def saturation(actor: Actor, observations: np.ndarray) -> np.ndarray:
    """Share of observations (n, k) for which each element of the mean is outside the box, (m,)."""
    device = actor.mean.device
    with torch.inference_mode():
        mean = actor(torch.from_numpy(observations.astype(np.float32)).to(device))
    return (mean.abs() > 1.0).float().mean(0).cpu().numpy()


def saturation_warning(shares: Mapping[str, float], where: str) -> str:
    """What to tell people of shares by action element; empty when nothing is stuck."""
    stuck = [f"{name} ({share:.0%})" for name, share in shares.items() if share > LIMIT]
    if not stuck:
        return ""
    return (
        f"the policy's mean lies outside the action box for most of {where}: {', '.join(stuck)}. "
        "Such elements explore one-sidedly and may not improve; clone again with `porl bc`, which "
        "keeps its targets inside the box"
    )
