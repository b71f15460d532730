"""The bundles of one seed, and the cell that is found for it: made once, then found on disk.

cloned-02, ...      clones of so many demonstrations in the cell that the gate believes in
simulation, twin    fine-tuned from the base in that cell, and on the twin; `-half`: on the way
cell.yaml           calibrated from episodes of the base on the twin
"""

import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from benchmarks.gate_worth.recording import record_on_twin
from porl_ros.cli.base_policy import clone_policy, record
from porl_ros.cli.calibrate_run import estimate
from porl_ros.learning.bc import BcConfig
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.gym_loop import GymFineTuning
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv

ROBOT, BELIEVED, TWIN = "ur5e_insert", "calibrated", "twin"
DEMONSTRATION_NOISE = 0.2  # as in `porl demo`
BASE = 10  # demonstrations, likewise
TUNED = {"simulation": BELIEVED, "twin": TWIN}  # name, and the cell in which it learns
CELL = "cell.yaml"


@dataclass(frozen=True)
class Extent:
    """How much of everything."""

    seeds: tuple[int, ...] = (0, 1, 2)
    demonstrations: tuple[int, ...] = (2, BASE, 30)
    learner: PorlConfig = field(default_factory=PorlConfig)
    recorded: int = 40  # episodes that the cell is calibrated from
    judged: int = 200  # of the suite's episodes
    on_twin: int = 200

    @property
    def half(self) -> int:
        """Environment steps of a bundle on the way: half of those in which the policy changes."""
        return (self.learner.presample_steps + self.learner.total_steps) // 2


def clone_name(demonstrations: int) -> str:
    """Of the bundle that is cloned from so many."""
    return f"cloned-{demonstrations:02d}"


def base_of(folder: Path) -> Path:
    """The bundle that is recorded and fine-tuned."""
    return folder / clone_name(BASE)


def make(folder: Path, seed: int, extent: Extent) -> list[Path]:
    """Everything of a seed that is not in `folder` yet; returns the bundles."""
    torch.set_num_threads(1)
    clones = [_clone(folder, seed, extent, count) for count in extent.demonstrations]
    jobs = [partial(_fine_tune, folder, seed, extent, name) for name in TUNED]
    jobs.append(partial(_calibrate, folder, seed, extent))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()
    return [*clones, *(folder / f"{name}{part}" for name in TUNED for part in ("-half", ""))]


def _clone(folder: Path, seed: int, extent: Extent, count: int) -> Path:
    bundle = folder / clone_name(count)
    if not bundle.exists():
        demos = folder / f"demonstrations-{count:02d}"
        shutil.rmtree(demos, ignore_errors=True)
        record(ROBOT, BELIEVED, count, DEMONSTRATION_NOISE, seed, demos)
        std = extent.learner.exploration_std
        clone_policy(ROBOT, demos, bundle, BcConfig().epochs, std, seed)
    return bundle


def _fine_tune(folder: Path, seed: int, extent: Extent, name: str) -> None:
    half, final = folder / f"{name}-half", folder / name
    if final.exists():
        return
    shutil.rmtree(half, ignore_errors=True)  # of a run that was cut off
    torch.set_num_threads(1)
    env = RobotEnv(load_robot(ROBOT), TUNED[name])
    tuning = GymFineTuning(env, load_bundle(base_of(folder)).actor, extent.learner, seed)
    contract = env.robot.config.contract
    for progress in tuning.run():
        if progress.env_steps >= extent.half and not half.exists():
            tuning.save(half, contract, 1)
    tuning.save(final, contract, 2)


def _calibrate(folder: Path, seed: int, extent: Extent) -> None:
    if (folder / CELL).exists():
        return
    store = folder / "recorded"
    shutil.rmtree(store, ignore_errors=True)
    record_on_twin(load_robot(ROBOT), base_of(folder), TWIN, extent.recorded, seed, store)
    estimate([store], folder / CELL, ROBOT, BELIEVED)
