"""Demonstrations and base policies on disk: `.npz` and a policy bundle, nothing pickled.

Both carry the settings they were made under, so a change of the task makes them again.
"""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
import torch

from benchmarks.finetuning.episodes import (
    ATTEMPTS,
    DEMONSTRATION_SEED,
    SEEDS_APART,
    DemoEpisode,
    demonstrate,
)
from porl_ros.errors import PorlError
from porl_ros.learning.bc import clone
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.network import Actor

if TYPE_CHECKING:
    from benchmarks.finetuning.tasks import Task

RUNS = Path("runs/benchmark-finetuning")


def folder(task: "Task", seed: int) -> Path:
    """Where the demonstrations and the base of one seed are kept."""
    return RUNS / task.name / f"base-{seed}"


def cached_demos(task: "Task", seed: int) -> list[DemoEpisode]:
    """The demonstrations of a seed, recorded if they are not on disk yet."""
    path = folder(task, seed) / "demos.npz"
    if path.is_file() and (found := _read(path, task.settings)) is not None:
        return found
    episodes = record(task, seed)
    _write(path, episodes, task.settings)
    return episodes


def cached_base(task: "Task", seed: int) -> Actor:
    """The base policy of a seed, cloned if it is not on disk yet."""
    path = folder(task, seed) / "policy"
    if path.is_dir():
        bundle = load_bundle(path)
        if bundle.manifest.contract == task.settings:
            return bundle.actor
        shutil.rmtree(path)
    episodes = cached_demos(task, seed)
    torch.set_num_threads(1)  # the order of sums, and so the weights, depend on it
    observations = np.concatenate([e.observations[:-1] for e in episodes])
    intended = np.concatenate([e.intended for e in episodes])
    actor = clone(observations, intended, task.cloning, seed)
    made_by = "benchmarks.finetuning"
    save_bundle(path, actor, task.settings, made_by=made_by, version=0, exploration_std=0.0)
    return actor


def record(task: "Task", seed: int) -> list[DemoEpisode]:
    """Record the demonstrations of a seed; PorlError when the expert fails too often."""
    env = task.build_demo()
    expert, rng = task.build_expert(env), np.random.default_rng(seed)
    first, kept = DEMONSTRATION_SEED + seed * SEEDS_APART, []
    for attempt in range(task.demonstrations * ATTEMPTS):
        episode = demonstrate(env, expert, task.demo_noise, rng, first + attempt)
        kept += [episode] if episode else []
        if len(kept) == task.demonstrations:
            return kept
    raise PorlError(
        f"{task.name}: the expert succeeded in {len(kept)} of {task.demonstrations * ATTEMPTS} "
        "episodes only; lower demo_noise"
    )


def _write(path: Path, episodes: list[DemoEpisode], settings: dict) -> None:
    arrays = {
        f"{part}_{number}": np.asarray(value)
        for number, episode in enumerate(episodes)
        for part, value in episode._asdict().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.npz")
    np.savez_compressed(temporary, settings=json.dumps(settings, sort_keys=True), **arrays)
    os.replace(temporary, path)


def _read(path: Path, settings: dict) -> list[DemoEpisode] | None:
    """The episodes of a file; None when it was made under other settings, or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if str(arrays.pop("settings")) != json.dumps(settings, sort_keys=True):
            return None
        return [
            DemoEpisode(
                *(arrays[f"{part}_{number}"] for part in DemoEpisode._fields[:-1]),
                bool(arrays[f"terminated_{number}"]),
            )
            for number in range(settings["demonstrations"])
        ]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
