"""How far two policies are from each other: in what they say of themselves, in weights, in deed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import Manifest, PolicyBundle
from porl_ros.robot.contract import first_difference


class Change(NamedTuple):
    """Of one tensor: its length, and how far the other is from it (Euclidean, and at most)."""

    name: str
    length: float
    distance: float
    largest: float


def fields(one: Manifest, other: Manifest) -> Iterator[tuple[str, object, object]]:
    """What differs in the manifests; of two contracts the first difference."""
    for name in Manifest.model_fields:
        here, there = getattr(one, name), getattr(other, name)
        if here != there:
            if name == "contract":
                where, _, what = first_difference(here, there).partition(": here ")
                name, (here, _, there) = f"contract.{where}", what.partition(", there ")
            yield name, here, there


def weights(one: PolicyBundle, other: PolicyBundle) -> list[Change]:
    """Tensor by tensor. Raises PorlError for networks of other shapes."""
    ours, theirs = one.actor.state_dict(), other.actor.state_dict()
    shapes = [{name: tuple(t.shape) for name, t in side.items()} for side in (ours, theirs)]
    if shapes[0] != shapes[1]:
        name = min(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise PorlError(
            f"{name}: {shapes[0].get(name, 'absent')} in {one.path}, "
            f"{shapes[1].get(name, 'absent')} in {other.path}; weights of other shapes cannot be "
            "compared"
        )
    return [_change(name, tensor, theirs[name]) for name, tensor in ours.items()]


def actions(one: PolicyBundle, other: PolicyBundle, observations: np.ndarray) -> np.ndarray:
    """How far apart the actions are for observations (n, k), clipped to the box: (n, m)."""
    batch = torch.from_numpy(observations.astype(np.float32))
    with torch.inference_mode():
        first, second = (bundle.actor(batch).clamp(-1.0, 1.0) for bundle in (one, other))
    return (first - second).abs().numpy()


def random_observations(bundle: PolicyBundle, count: int, seed: int = 0) -> np.ndarray:
    """(count, k), spread as the observations that the policy was cloned from."""
    mean, std = bundle.actor.mean.numpy(), bundle.actor.std.numpy()
    noise = np.random.default_rng(seed).standard_normal((count, len(mean)))
    return (mean + std * noise).astype(np.float32)


def _change(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> Change:
    apart = theirs.double() - ours.double()
    return Change(name, float(ours.double().norm()), float(apart.norm()), float(apart.abs().max()))
