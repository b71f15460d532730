"""Whether a policy that is to act soon makes sense where the robot has just been."""

import numpy as np
import torch

from porl_ros.errors import PorlError
from porl_ros.policy.network import Actor
from porl_ros.policy.residual import ResidualActor

FAR = 10.0  # half-widths of the action box; a mean may leave the box, a diverged one goes further
RECENT = "recently recorded observations"


class InsanePolicy(PorlError):
    """A policy whose outputs no robot should follow, however sound its file is."""


def check_outputs(
    candidate: Actor | ResidualActor, present: Actor | ResidualActor, observations: np.ndarray
) -> None:
    """Compare a candidate with what acts, on observations (n, k) that were recorded.

    Raises InsanePolicy for outputs that are not finite, that lie far outside of the action box, or
    that all are at its border where those of the present policy are not. One batch, no lock: for
    the thread that loads, never for the one that acts.
    """
    mean = _mean(candidate, observations)
    count = len(observations)
    if broken := int((~np.isfinite(mean).all(1)).sum()):
        raise InsanePolicy(f"its outputs are not finite for {broken} of {count} {RECENT}")
    if (largest := float(np.abs(mean).max(initial=0.0))) > FAR:
        raise InsanePolicy(f"it asks for {largest:.3g} times the action box in {count} {RECENT}")
    if _saturated(mean) and not _saturated(_mean(present, observations)):
        raise InsanePolicy(
            f"every output is at the border of the action box for all {count} {RECENT}, which is "
            "not so for the present policy"
        )


def _mean(actor: Actor | ResidualActor, observations: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return actor(torch.from_numpy(observations).to(actor.mean.device)).cpu().numpy()


def _saturated(mean: np.ndarray) -> bool:
    return bool((np.abs(mean) >= 1.0).all())
