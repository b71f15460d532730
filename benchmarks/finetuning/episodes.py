"""Episodes: which seed each begins with, what is kept of a demonstration, how a base is judged."""

from collections.abc import Callable
from typing import NamedTuple

import gymnasium
import numpy as np

# Episodes of training, of demonstrations and of evaluation never share a seed.
SEEDS_APART = 1_000_000  # run n trains on the episodes n * SEEDS_APART, n * SEEDS_APART + 1, ...
DEMONSTRATION_SEED = 1_000_000_000_000
EVALUATION_SEED = 2_000_000_000_000
ATTEMPTS = 20  # episodes tried per demonstration before the expert is called unfit

Policy = Callable[[np.ndarray], np.ndarray]  # observation (n,) -> action (m,)


class DemoEpisode(NamedTuple):
    """One successful episode of the expert, T steps."""

    observations: np.ndarray  # (T + 1, n) float32, the last one included
    actions: np.ndarray  # (T, m) float32, carried out: noise included
    intended: np.ndarray  # (T, m) float32, what the expert wanted: this is what is cloned
    rewards: np.ndarray  # (T,) float32
    terminated: bool


class EpisodeSeeds(gymnasium.Wrapper):
    """Episodes begun without a seed take one after the other from `first` on."""

    def __init__(self, env: gymnasium.Env, first: int):
        super().__init__(env)
        self._next = first

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        if seed is None:
            seed, self._next = self._next, self._next + 1
        return self.env.reset(seed=seed, options=options)


def demonstrate(
    env: gymnasium.Env,
    expert: Callable[[], np.ndarray],
    noise: float,
    rng: np.random.Generator,
    seed: int,
) -> DemoEpisode | None:
    """The expert's episode of this seed under Gaussian `noise` on its actions; None if it failed.

    The noise shows how to recover, so what is cloned is `intended`, as `porl bc` does.
    """
    observations, actions, intended, rewards = [env.reset(seed=seed)[0]], [], [], []
    while True:
        wanted = np.clip(expert(), -1.0, 1.0).astype(np.float32)
        noisy = wanted + noise * rng.standard_normal(len(wanted), dtype=np.float32)
        action = np.clip(noisy, -1.0, 1.0)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        intended.append(wanted)
        rewards.append(reward)
        if terminated or truncated:
            break
    if reward <= 0.0:
        return None
    steps = (np.array(part, np.float32) for part in (observations, actions, intended, rewards))
    return DemoEpisode(*steps, True)


def evaluate(env: gymnasium.Env, policy: Policy, episodes: int, offset: int = 0) -> np.ndarray:
    """Successes (episodes,) bool of the deterministic policy on seeds kept for evaluation."""
    successes = []
    for number in range(offset, offset + episodes):
        observation, _ = env.reset(seed=EVALUATION_SEED + number)
        ended = False
        while not ended:
            action = np.clip(policy(observation), -1.0, 1.0)
            observation, reward, terminated, truncated, _ = env.step(action)
            ended = terminated or truncated
        successes.append(reward > 0.0)
    return np.array(successes)
