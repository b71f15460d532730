"""Gymnasium's Hopper with a sparse reward: the link to the locomotion tasks of the paper.

Its expert is a partly trained agent, kept beside this file; `hopper_agent.py` made it.
"""

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from safetensors.numpy import load_file

AGENT = Path(__file__).with_name("hopper_agent.safetensors")
DISTANCE = 2.0  # to travel without falling [m]
# An action is held for 16 ms, twice as long as usual: episodes are half as long to learn from. And
# it starts bent by up to 0.05 rad: otherwise all episodes of a policy without noise are alike.
SETTINGS = {"frame_skip": 8, "reset_noise_scale": 0.05}


def make_hopper() -> gymnasium.Env:
    """The package's environment with its own dense reward, for training the agent."""
    return gymnasium.make("Hopper-v5", max_episode_steps=500, **SETTINGS)


class SparseHopper(gymnasium.Wrapper):
    """Observation (12,): the package's, and the share of the distance that is travelled.

    Reward 1 at the distance, which terminates; a fall terminates with 0. `slope` in degrees: the
    ground rises in the direction of travel (gravity is turned, which comes to the same).
    """

    def __init__(self, horizon: int, slope: float):
        super().__init__(make_hopper().unwrapped)
        rise, gravity = np.radians(slope), self.env.model.opt.gravity
        gravity[:] = gravity[2] * np.array([np.sin(rise), 0.0, np.cos(rise)])
        self._horizon, self._steps, self.raw = horizon, 0, np.zeros(11)
        self.observation_space = Box(-np.inf, np.inf, (12,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        self._steps = 0
        self.raw, _ = self.env.reset(seed=seed, options=options)
        return self._observation(), {}

    def step(self, action: np.ndarray):
        self.raw, _, fallen, _, _ = self.env.step(action)
        self._steps += 1
        success = bool(self._place() >= DISTANCE and not fallen)
        ended = success or fallen
        truncated = self._steps >= self._horizon and not ended
        return self._observation(), float(success), ended, truncated, {"success": success}

    def _place(self) -> float:
        return float(self.env.data.qpos[0])

    def _observation(self) -> np.ndarray:
        return np.append(self.raw, self._place() / DISTANCE).astype(np.float32)


def make_expert(env: SparseHopper) -> Callable[[], np.ndarray]:
    """The agent without noise."""
    agent = load_file(AGENT)

    def act() -> np.ndarray:
        hidden = np.clip((env.raw - agent["mean"]) / agent["std"], -10.0, 10.0)
        for layer in ("0", "2"):
            hidden = np.tanh(agent[f"{layer}.weight"] @ hidden + agent[f"{layer}.bias"])
        return agent["action.weight"] @ hidden + agent["action.bias"]

    return act
