"""Bundles to damage: a small policy for the shipped robot, and a way to edit its files."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from porl_ros.policy.bundle import MANIFEST, WEIGHTS, Manifest, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.config import RobotConfig

SIZES = 15, 3


def make_actor(seed: int = 0, hidden: tuple[int, ...] = (16, 8)) -> Actor:
    """Random weights and a normalisation that is not the identity."""
    torch.manual_seed(seed)
    actor = Actor(*SIZES, hidden)
    actor.set_normalisation(torch.randn(SIZES[0]), torch.rand(SIZES[0]) + 0.5)
    return actor


def make_bundle(path: Path, config: RobotConfig, actor: Actor | None = None, **fields) -> Manifest:
    """Write a bundle for the robot."""
    fields = {"version": 1, "exploration_std": 0.1} | fields
    return save_bundle(path, actor or make_actor(), config.contract, made_by="a test", **fields)


def unlock(path: Path) -> None:
    """Let its files be changed, which else may only be read."""
    for file in path.iterdir():
        file.chmod(0o644)


def edit_manifest(path: Path, **changes: object) -> None:
    """Change values of the manifest without telling anybody."""
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


def put_weights(path: Path, weights: bytes) -> None:
    """Other weights, with a hash in the manifest that fits them."""
    (path / WEIGHTS).write_bytes(weights)
    edit_manifest(path, weights_sha256=hashlib.sha256(weights).hexdigest())


def edit_weights(path: Path, edit: Callable[[dict], object]) -> None:
    """Change tensors, with a hash in the manifest that fits them."""
    tensors = load_tensors((path / WEIGHTS).read_bytes())
    edit(tensors)
    put_weights(path, save_tensors(tensors))
