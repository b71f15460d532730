"""A task that takes milliseconds, and a folder of one's own for everything that is written."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from benchmarks.finetuning.tasks import TASKS, Task
from porl_ros.learning.bc import BcConfig


class Reach(gymnasium.Env):
    """A point that must come to the origin within 12 steps of at most 0.1."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-0.6, 0.6, 2), 0
        return self.place.astype(np.float32), {}

    def step(self, action):
        self.place = self.place + 0.1 * np.clip(action, -1.0, 1.0)
        self.steps += 1
        success = bool(np.abs(self.place).max() < 0.1)
        truncated = self.steps == 12 and not success
        return self.place.astype(np.float32), float(success), success, truncated, {}

    def expert(self) -> np.ndarray:
        return np.clip(-5.0 * self.place, -1.0, 1.0).astype(np.float32)


def _reach(name: str, **settings) -> Task:
    return Task(
        name=name,
        horizon=12,
        demonstrations=6,
        build=Reach,
        build_demo=Reach,
        build_expert=lambda env: env.expert,
        demo_noise=0.1,
        cloning=BcConfig(epochs=25, hidden=(16,), learning_rate=1e-2),
        **settings,
    )


@pytest.fixture
def reach(monkeypatch, tmp_path) -> Task:
    """The task, known to the benchmark as `reach`; the working folder is the test's own."""
    monkeypatch.chdir(tmp_path)
    task = _reach("reach")
    monkeypatch.setitem(TASKS, "reach", task)
    monkeypatch.setitem(TASKS, "elsewhere", _reach("elsewhere", requirements="metaworld"))
    return task


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
