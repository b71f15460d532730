"""The bundles of one seed, and the cell that is found for it: made once, then found on disk.

cloned-02, ...      clones of so many demonstrations in the cell that the gate believes in
simulation, twin    fine-tuned from the base in that cell, and on the twin; `-half`: on the way
far                 fine-tuned from `twin` where the camera was knocked against since
twin.yaml, far.yaml the cells, calibrated from episodes of what had to work there before
"""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from benchmarks.gate_worth.recording import record_in
from porl_ros.cli.base_policy import clone_policy, record
from porl_ros.cli.calibrate_run import estimate
from porl_ros.learning.bc import BcConfig
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.gym_loop import GymFineTuning
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv

ROBOT, BELIEVED, TWIN, FAR = "ur5e_insert", "calibrated", "twin", "far"
DEMONSTRATION_NOISE = 0.2  # as in `porl demo`
BASE = 10  # demonstrations, likewise
TUNED = {"simulation": BELIEVED, "twin": TWIN, "far": FAR}  # name, and the cell where it learns


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


def base_of(cell: str) -> str:
    """The bundle that had to work in a cell, and from which another is fine-tuned there."""
    return "twin" if cell == FAR else clone_name(BASE)


def file_of(folder: Path, cell: str) -> Path:
    """Where the calibrated cell is."""
    return folder / f"{cell}.yaml"


def make(folder: Path, seed: int, extent: Extent) -> list[Path]:
    """Everything of a seed that is not in `folder` yet; returns what is judged on the twin."""
    torch.set_num_threads(1)
    clones = [_clone(folder, seed, extent, count) for count in extent.demonstrations]
    for names, cell in ((("simulation", "twin"), TWIN), (("far",), FAR)):
        jobs = [partial(_fine_tune, folder, seed, extent, name) for name in names]
        _at_once([*jobs, partial(_calibrate, folder, seed, extent, cell)])
    tuned = [folder / f"{name}{part}" for name in ("simulation", "twin") for part in ("-half", "")]
    return [*clones, *tuned]


def _at_once(jobs: list[Callable[[], None]]) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn) as pool:
        for job in [pool.submit(job) for job in jobs]:
            job.result()


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
    base = load_bundle(folder / base_of(TUNED[name])).actor
    tuning = GymFineTuning(env, base, extent.learner, seed)
    contract = env.robot.config.contract
    for progress in tuning.run():
        if progress.env_steps >= extent.half and not half.exists():
            tuning.save(half, contract, 1)
    tuning.save(final, contract, 2)


def _calibrate(folder: Path, seed: int, extent: Extent, cell: str) -> None:
    if file_of(folder, cell).exists():
        return
    store = folder / f"recorded-{cell}"
    shutil.rmtree(store, ignore_errors=True)
    bundle = folder / base_of(cell)
    record_in(load_robot(ROBOT), bundle, cell, extent.recorded, seed, store)
    estimate([store], file_of(folder, cell), ROBOT, BELIEVED)
