"""Hashes of what a validation depends on besides the bundle. Needs neither MuJoCo nor torch."""

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path

import porl_ros
from porl_ros.paths import resolve_model
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite

CODE = ("robot", "policy", "simulation", "validation")  # rooms that act or judge
INCLUDE = re.compile(rb"<include\s+file\s*=\s*[\"']([^\"']+)[\"']")


def suite_hash(config: RobotConfig) -> str:
    """Of the episodes that a policy is judged on. Raises ConfigError when there are none."""
    return Suite.load(config.simulation.scene).hash


def scene_hash(config: RobotConfig) -> str:
    """Of the scene with its cell, and of the models that it is composed of. Raises ConfigError."""
    scene = SceneConfig.load(config.simulation.scene)
    cell = scene.variant(config.simulation.variant).model_dump(mode="json")
    described = scene.model_dump(mode="json", exclude={"suite", "variants"}) | {"cell": cell}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    models = [scene.world, config.kinematics.model, *(a.model for a in scene.attachments)]
    for path in sorted({file for model in models for file in _with_included(resolve_model(model))}):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@lru_cache(1)
def code_hash() -> str:
    """Of the source of everything that acts or judges: another filter, another proof."""
    digest, package = hashlib.sha256(), Path(porl_ros.__file__).parent
    for room in CODE:
        for path in sorted((package / room).rglob("*.py")):
            name = str(path.relative_to(package)).encode()
            digest.update(hashlib.sha256(name + b"\0" + path.read_bytes()).digest())
    return digest.hexdigest()


def _with_included(path: Path) -> list[Path]:
    """A model's file and those that it includes."""
    names = INCLUDE.findall(path.read_bytes())
    return [path, *(f for name in names for f in _with_included(path.parent / name.decode()))]
