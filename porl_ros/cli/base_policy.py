"""Demonstrations, cloning, and looking at how good the clone is."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from porl_ros.errors import PorlError
from porl_ros.learning.bc import BcConfig, clone
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.saturation import saturation, saturation_warning
from porl_ros.replay import read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.robot.observation import action_names
from porl_ros.simulation.demonstrations import record_demonstrations
from porl_ros.validation.evaluation import Evaluation, Evaluator

console = Console()


def record(robot: str, variant: str, count: int, noise: float, seed: int, store: Path) -> None:
    """Record `count` demonstrations into a new store."""
    config = load_robot(robot)
    if store.exists() and any(store.iterdir()):
        raise PorlError(
            f"{store}: is not empty and demonstrations are never mixed; name a new folder"
        )
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"recording {count} demonstrations", total=count)
        rows = record_demonstrations(
            config,
            variant,
            count,
            noise,
            seed,
            store,
            lambda done: progress.update(task, completed=done),
        )
    console.print(f"{count} demonstrations, {rows} transitions -> {store}")


def clone_policy(robot: str, demos: Path, output: Path, epochs: int, std: float, seed: int) -> None:
    """Clone the demonstrations of a store into a new bundle, version 0."""
    import torch

    torch.set_num_threads(1)  # faster than two for networks of this size
    config, settings = load_robot(robot), BcConfig(epochs=epochs)
    observations, actions = _demonstrations(demos, config)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("cloning", total=epochs)
        actor = clone(
            observations,
            actions,
            settings,
            seed,
            lambda e, loss: progress.update(task, completed=e + 1),
        )
    shares = map(float, saturation(actor, observations))
    stuck = dict(zip(action_names(config), shares, strict=True))
    save_bundle(
        output,
        actor,
        config.contract,
        made_by="porl bc",
        version=0,
        exploration_std=std,
        saturation=stuck,
    )
    console.print(f"cloned from {len(observations)} transitions -> {output}")
    if warning := saturation_warning(stuck, "the demonstrations"):
        console.print(f"[yellow]warning:[/] {warning}")


def evaluate_policy(
    robot: str, bundle: Path, variant: str | None, episodes: int, seed: int
) -> Evaluation:
    """Evaluate and print a line."""
    load_bundle(bundle, load_robot(robot))
    seeds = range(seed, seed + episodes)
    with (
        Evaluator(robot, variant) as evaluator,
        Progress(console=console, transient=True) as progress,
    ):
        task = progress.add_task("evaluating", total=episodes)
        update = lambda done: progress.update(task, completed=done)  # noqa: E731
        result = evaluator.evaluate_all([bundle], seeds, update)[0]
    low, high = result.interval
    console.print(
        f"success {result.success:.2f} (95 % interval {low:.2f} to {high:.2f}, "
        f"{episodes} episodes), {result.steps_to_success:.1f} steps to success"
    )
    return result


def _demonstrations(store: Path, config: RobotConfig) -> tuple[np.ndarray, np.ndarray]:
    chunks = read_store(store, config.contract_hash, config.contract)
    if not chunks:
        raise PorlError(f"{store}: holds no demonstrations; record some with `porl demos`")
    rows = np.concatenate([chunk.rows for chunk in chunks])
    # What the expert wanted, not what its execution noise made of it.
    return rows["observation"], rows["requested_action"]
