"""Episodes of a robot in one of its cells, in a real store, as a policy node records them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from porl_ros.replay import Actor, ReplayWriter, robot_schema
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv

Policy = Callable[[np.ndarray], np.ndarray]


def record(
    config: RobotConfig, store: Path, episodes: int, variant: str = "twin",
    policy: Policy | None = None, noise: float = 0.2, steps: int = 10_000, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    """The errors (episodes, 3) of the place that was estimated at the begin of each, m.

    Without a policy the arm sways about and upwards, free of everything. Cut after `steps`.
    """
    env, rng = RobotEnv(config, variant), np.random.default_rng(seed)
    size, errors = env.action_space.shape[0], []
    source = env.robot.scene.task.estimate_source
    with ReplayWriter(store, robot_schema(config), config.name) as writer:
        for number in range(episodes):
            observation, _ = env.reset(seed=1000 * seed + number)
            errors.append(env.robot.task.estimates()[source]["position"] - env.robot.task.goal)
            swing = rng.uniform(-1.0, 1.0, size)
            ended = step = 0
            while not ended:
                swing = 0.7 * swing + rng.uniform(-0.7, 0.7, size)
                wanted = policy(observation) if policy else swing + np.eye(size)[2] * 0.3
                action = (wanted + noise * rng.standard_normal(size)).astype(np.float32)
                stamp = env.robot.time_ns
                after, reward, terminated, truncated, info = env.step(action)
                truncated |= not terminated and step + 1 == steps
                ended = terminated or truncated
                writer.log(
                    observation=observation, action=info["act"].executed, requested_action=action,
                    reward=reward, terminated=terminated, truncated=truncated, actor=Actor.POLICY,
                    policy_version=0, episode=number, step=step, stamp=stamp,
                    final_observation=after if ended else None,
                )  # fmt: skip
                observation, step = after, step + 1
    return np.array(errors)
