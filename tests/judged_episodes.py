"""Episodes that succeed and such that fail, in a real store."""

from pathlib import Path

import numpy as np

from porl_ros.replay import Actor, ReplayWriter, robot_schema
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert


def record(config: RobotConfig, store: Path, successes: int, failures: int) -> None:
    """The expert succeeds; left alone half way, it does not."""
    env = RobotEnv(config, "calibrated")
    expert, rng = make_expert(env), np.random.default_rng(0)
    wanted = [True] * successes + [False] * failures
    with ReplayWriter(store, robot_schema(config), config.name) as writer:
        for number, succeed in enumerate(wanted):
            observation, _ = env.reset(seed=number)
            steps = config.episode.horizon if succeed else rng.integers(2, 8)
            for step in range(config.episode.horizon):
                action = expert()
                if step >= steps:
                    action = rng.uniform(-0.2, 0.2, 3).astype(np.float32)
                after, reward, terminated, truncated, info = env.step(action)
                writer.log(
                    observation=observation, action=info["act"].executed, requested_action=action,
                    reward=reward, terminated=terminated, truncated=truncated, actor=Actor.EXPERT,
                    policy_version=-1, episode=number, step=step, stamp=step,
                    final_observation=after if terminated or truncated else None,
                )  # fmt: skip
                observation = after
                if terminated or truncated:
                    break
