"""An episode of a scripted expert, with what a test looks at."""

import numpy as np

from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert


def run_expert(env: RobotEnv, seed: int) -> tuple[np.ndarray, bool]:
    """Every observation of the expert's episode, and whether it succeeded."""
    expert = make_expert(env)
    observations = [env.reset(seed=seed)[0]]
    while True:
        observation, _, terminated, truncated, info = env.step(expert())
        assert info["act"].interventions == ()
        observations.append(observation)
        if terminated or truncated:
            return np.array(observations), terminated
