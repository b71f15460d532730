"""A robot for the learner: rows in a real store, as the policy node would write them."""

from pathlib import Path

import numpy as np

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.finetuning import FineTuning
from porl_ros.replay import ReplaySchema, ReplayWriter
from porl_ros.robot.observation import ObservationAssembler, action_names

EPISODE = 30
CONFIG = PorlConfig(
    presample_steps=60, total_steps=120, warmup_mc_updates=10, warmup_td_updates=10,
    publish_every=20, batch_size=16, critic_hidden=(16, 16), utd=2,
)  # fmt: skip


class Robot:
    """Stands in for the policy node: writes rows of episodes that succeed every second time."""

    def __init__(self, store: Path, config, contract_hash: str = "", seed: int = 0, run=None):
        schema = ReplaySchema(
            contract_hash=contract_hash or config.contract_hash,
            observation_names=ObservationAssembler(config).names,
            action_names=action_names(config),
        )
        self._rng = np.random.default_rng(seed)
        self.writer = ReplayWriter(store, schema, config.name, run)

    def walk(self, steps: int, version: int = 0) -> None:
        for _ in range(steps):
            row = self.writer.rows
            last, success = row % EPISODE == EPISODE - 1, row // EPISODE % 2 == 0
            observation, action = (self._rng.standard_normal(n) for n in (15, 3))
            self.writer.log(
                observation=observation, action=np.tanh(action), requested_action=np.tanh(action),
                reward=float(last and success), terminated=last and success,
                truncated=last and not success, actor=0, policy_version=version,
                episode=row // EPISODE, step=row % EPISODE, stamp=row,
                final_observation=observation if last else None,
            )  # fmt: skip
        self.writer.flush()


def make(
    tmp_path: Path, config, base, lockstep: bool = True, seed: int = 0, bundles: str = "bundles",
    demonstrations: Path | None = None, **settings,
) -> FineTuning:  # fmt: skip
    """A learner of the store in `tmp_path`, with its bundles beside it."""
    settings = CONFIG.model_copy(update=settings)
    folders = tmp_path / "store", tmp_path / bundles
    return FineTuning(config, base, *folders, settings, seed, "cpu", lockstep, demonstrations)


def names(tuning_folder: Path) -> list[str]:
    return sorted(path.name for path in (tuning_folder / "bundles").iterdir())
