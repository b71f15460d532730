"""The product's learner as one of the compared: the only place here that knows its surface."""

import numpy as np
import torch

from benchmarks.finetuning.episodes import Policy
from benchmarks.finetuning.loop import Behaviour
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.trainer import Trainer
from porl_ros.policy.network import Actor
from porl_ros.replay import Chunk

RETURNS = (0.0, 1.0)  # possible ones: the reward is 0, or 1 in the last step of an episode
UPDATES_AT_ONCE = 64


class PorlAgent:
    """`Trainer`, fed step by step and given the time for all updates that it owes."""

    def __init__(self, actor: Actor, config: PorlConfig, seed: int):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # a residual's first weights come from torch's own generator
            self._trainer = Trainer(actor, config, seed, value_range=RETURNS)
        self._std = config.exploration_std
        self.updates_begin = config.presample_steps

    @property
    def gradient_steps(self) -> int:
        return self._trainer.porl.critic_updates

    @property
    def actor_updates(self) -> int:
        return self._trainer.porl.actor_updates

    def policy(self) -> Policy:
        return self._trainer.porl.acting.for_control()

    def behaviour(self) -> Behaviour:
        mean, std = self.policy(), self._std

        def act(observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            wanted = mean(observation)
            noise = rng.standard_normal(len(wanted), dtype=np.float32)
            return np.clip(wanted + std * noise, -1.0, 1.0)

        return act

    def learn(self, chunk: Chunk) -> None:
        self._trainer.feed(chunk)
        while self._trainer.work(UPDATES_AT_ONCE):
            pass
