"""The simulated robot as a Gymnasium environment, through the same controller as on the robot."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.simulation.robot import SimulatedRobot

# A run with seed n begins its episodes with the seeds n * SEEDS_APART, n * SEEDS_APART + 1, ...
SEEDS_APART = 1_000_000


class RobotEnv(gymnasium.Env):
    """Observation Box (k,) float32 without bounds, action Box (m,) float32 in [-1, 1].

    `reset(seed=s)` begins exactly the episode that the simulation node begins for seed s; without
    a seed the next episode of the environment's own generator.
    """

    metadata = {"render_modes": []}

    def __init__(self, config: RobotConfig | str, variant: str | None = None):
        config = config if isinstance(config, RobotConfig) else RobotConfig.load(config)
        self.robot = SimulatedRobot(config, variant)
        self.controller = Controller(config)
        shape = (self.controller.assembler.size,)
        self.observation_space = Box(-np.inf, np.inf, shape, np.float32)
        self.action_space = Box(-1.0, 1.0, (self.controller.decoder.size,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        episode = int(self.np_random.integers(2**31)) if seed is None else seed
        return self.controller.begin(self.robot.reset(episode)), {}

    def step(self, action: np.ndarray):
        act = self.controller.act(action)
        outcome = self.controller.observe(self.robot.step(act.command))
        info = {"act": act, "success": outcome.terminated}
        return outcome.observation, outcome.reward, outcome.terminated, outcome.truncated, info
