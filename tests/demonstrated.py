"""Demonstrations in MuJoCo, recorded in two ways: by the robot itself, and by a recorder."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from recorder import Bag, recording

from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert

NOISE = 0.2
Send = Callable[[Bag, np.ndarray, int], None]  # a command (n,) that answers the samples of a stamp


class Direct(NamedTuple):
    """What the robot would have recorded itself; arrays with an element a step."""

    observation: np.ndarray
    action: np.ndarray
    command: np.ndarray
    terminated: np.ndarray
    episode: np.ndarray
    stamp: np.ndarray


def labelled(bag: Bag, command: np.ndarray, stamp: int) -> None:
    """As our own policy node sends it."""
    bag.command(command, str(stamp))


def demonstrate(
    path: Path, config: RobotConfig, variant: str, episodes: int, send: Send = labelled,
    seed: int = 0, flag: str | None = "policy/episode_success", mcap: bool = False,
    namespace: str = "", pause: int = 0,
) -> Direct:  # fmt: skip
    """Record episodes of the expert, at the control rate. `pause`: steps between two episodes, in
    which nothing is sent."""
    env, rng = RobotEnv(config, variant), np.random.default_rng(seed)
    expert, rows = make_expert(env), []
    with recording(path, config, mcap, namespace) as bag:
        for episode in range(episodes):
            observation, _ = env.reset(seed=seed * 1000 + episode)
            bag.samples(env.robot.samples())
            over = False
            while not over:
                wanted, stamp = expert(), env.robot.time_ns
                noise = NOISE * rng.standard_normal(len(wanted), dtype=np.float32)
                act = env.controller.act(wanted + noise)
                send(bag, act.command, stamp)
                samples = env.robot.step(act.command)
                bag.samples(samples)
                outcome = env.controller.observe(samples)
                over = outcome.terminated or outcome.truncated
                rows.append((observation, act.executed, act.command, outcome.terminated))
                rows[-1] += (episode, stamp)
                observation = outcome.observation
            if flag:
                bag.flag(flag, outcome.terminated)
            for _ in range(pause):
                bag.samples(env.robot.step(act.command))
    return Direct(*(np.array(column) for column in zip(*rows, strict=True)))
