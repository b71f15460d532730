"""Recording demonstrations of a scripted expert into a replay store of their own."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from porl_ros.errors import PorlError
from porl_ros.replay import Actor, ReplayWriter, robot_schema
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import SEEDS_APART, RobotEnv
from porl_ros.simulation.experts import make_expert

ATTEMPTS = 20  # episodes tried per demonstration before the expert is called unfit


def record_demonstrations(
    config: RobotConfig,
    variant: str,
    count: int,
    noise: float,
    seed: int,
    store: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> int:
    """Record `count` successful episodes; returns the number of transitions.

    The expert is carried out with Gaussian `noise` on its actions, so that the demonstrations
    show how to recover; `requested_action` holds what the expert wanted. Failures are not kept.
    """
    env = RobotEnv(config, variant)
    expert, rng = make_expert(env), np.random.default_rng(seed)
    kept = 0
    with ReplayWriter(store, robot_schema(config), config.name) as writer:
        for attempt in range(count * ATTEMPTS):
            rows = _demonstration(env, expert, noise, rng, seed * SEEDS_APART + attempt)
            if rows:
                for row in rows:
                    writer.log(**row, episode=kept)
                kept += 1
                progress(kept)
            if kept == count:
                return writer.rows
    raise PorlError(
        f"the expert succeeded in {kept} of {count * ATTEMPTS} episodes only; lower --noise"
    )


def _demonstration(
    env: RobotEnv, expert, noise: float, rng: np.random.Generator, seed: int
) -> list[dict]:
    """The rows of one episode; empty when it failed."""
    observation, _ = env.reset(seed=seed)
    rows = []
    while True:
        wanted = expert()
        stamp = env.robot.time_ns
        noisy = wanted + noise * rng.standard_normal(len(wanted), dtype=np.float32)
        following, reward, terminated, truncated, info = env.step(noisy)
        rows.append({
            "observation": observation, "action": info["act"].executed, "requested_action": wanted,
            "reward": reward, "terminated": terminated, "truncated": truncated,
            "actor": Actor.EXPERT, "policy_version": -1, "step": len(rows), "stamp": stamp,
            "final_observation": following if terminated or truncated else None,
        })  # fmt: skip
        observation = following
        if terminated or truncated:
            return rows if terminated else []
