"""The same learner without ROS and store: for benchmarks and for other people's tasks."""

from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.trainer import Progress, Stage, Trainer
from porl_ros.policy.bundle import Manifest, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.replay import Chunk, ReplaySchema


class GymFineTuning:
    """Fine-tunes an actor on an environment with flat Box spaces and actions in [-1, 1]."""

    def __init__(
        self, env: gymnasium.Env, actor: Actor, config: PorlConfig, seed: int, device: str = "cpu"
    ):
        self._env, self._config, self._seed = env, config, seed
        # Nothing is known of the rewards of a foreign environment, so targets are not clamped.
        self.trainer = Trainer(actor, config, seed, device)
        self._rng = np.random.default_rng(seed)
        self._schema = ReplaySchema(
            contract_hash="gymnasium",
            observation_names=tuple(f"o{i}" for i in range(actor.observation_size)),
            action_names=tuple(f"a{i}" for i in range(actor.action_size)),
        )
        self._steps = 0

    @property
    def progress(self) -> Progress:
        """A snapshot of the trainer's books."""
        return self.trainer.progress

    def run(self) -> Iterator[Progress]:
        """Act and learn until `total_steps`; yields after every episode."""
        episode = 0
        while self.trainer.stage is not Stage.FINISHED:
            self._episode(episode)
            episode += 1
            yield self.progress

    def save(self, path: Path, contract: dict, version: int) -> Manifest:
        """Write the policy as it is now."""
        return save_bundle(
            path, self.trainer.porl.acting, contract, made_by="porl finetune", version=version,
            exploration_std=self._config.exploration_std, env_steps=self.trainer.env_steps,
            gradient_steps=self.trainer.porl.critic_updates,
        )  # fmt: skip

    def _episode(self, number: int) -> None:
        seed = self._seed if number == 0 else None
        observation, _ = self._env.reset(seed=seed)
        ended = False
        while not ended and self.trainer.env_steps < self._config.total_steps:
            action = self._act(observation)
            following, reward, terminated, truncated, _ = self._env.step(action)
            ended = terminated or truncated
            row = np.zeros(1, self._schema.row_dtype)
            row["observation"], row["action"], row["reward"] = observation, action, reward
            row["terminated"], row["truncated"] = terminated, truncated
            row["episode"] = number
            self._learn(row, following if ended else None, truncated)
            observation = following

    def _act(self, observation: np.ndarray) -> np.ndarray:
        mean = self.trainer.porl.acting.for_control()(np.asarray(observation, np.float32))
        noise = self._config.exploration_std * self._rng.standard_normal(
            len(mean), dtype=np.float32
        )
        return np.clip(mean + noise, -1.0, 1.0)

    def _learn(self, row: np.ndarray, final: np.ndarray | None, truncated: bool) -> None:
        finals = np.zeros(int(final is not None), self._schema.final_dtype)
        if final is not None:
            finals["row"], finals["truncated"], finals["observation"] = (
                self._steps,
                truncated,
                final,
            )
        self.trainer.feed(Chunk("gymnasium/run", self._steps, row, finals))
        self._steps += 1
        while self.trainer.work(64):
            pass
