"""A hash over an episode's observations; run as a program, that of seed 7 in a new process."""

import hashlib

import numpy as np

from porl_ros.simulation.env import RobotEnv


def digest(env: RobotEnv, seed: int) -> str:
    """Every bit of 30 observations under actions that follow from the seed."""
    rng = np.random.default_rng(seed)
    seen = hashlib.sha256(env.reset(seed=seed)[0].tobytes())
    for _ in range(30):
        seen.update(env.step(rng.uniform(-1, 1, 3).astype(np.float32))[0].tobytes())
    return seen.hexdigest()


if __name__ == "__main__":
    print(digest(RobotEnv("ur5e_insert"), seed=7))
