"""The rivals that are not made of the product's learner: our SAC in two variants, and SB3's."""

from functools import partial

import gymnasium
import numpy as np
import torch

from benchmarks.finetuning.episodes import Policy
from benchmarks.finetuning.loop import Behaviour
from benchmarks.finetuning.sac import BORDER, LOG_STD, Sac, SacConfig
from porl_ros.errors import PorlError
from porl_ros.policy.network import Actor
from porl_ros.replay import Batch, Chunk, ReplayMemory


class SacAgent:
    """SAC with or without demonstrations in its batches."""

    def __init__(
        self, actor: Actor, config: SacConfig, seed: int, demonstrations: Chunk | None = None
    ):
        """`actor` has two outputs per action element, see `sac.gaussian`."""
        self._sac, self._config = Sac(actor, config, seed), config
        sizes = actor.observation_size, actor.action_size // 2
        memory = partial(ReplayMemory, *sizes, config.memory_capacity, config.discount, seed)
        shown = memory()
        if demonstrations is not None:
            shown.extend(demonstrations)
        self._memory = memory(prior=shown)
        self.updates_begin, self._steps = config.learning_starts, 0

    @property
    def gradient_steps(self) -> int:
        return self._sac.critic_updates

    @property
    def actor_updates(self) -> int:
        return self._sac.actor_updates

    def policy(self) -> Policy:
        network, squash = self._sac.actor.for_control(), self._squash
        return lambda observation: np.tanh(squash(np.split(network(observation), 2)[0]))

    def behaviour(self) -> Behaviour:
        network, squash = self._sac.actor.for_control(), self._squash

        def act(observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            mean, log_std = np.split(network(observation), 2)
            noise = rng.standard_normal(len(mean), dtype=np.float32)
            return np.tanh(squash(mean) + np.exp(np.clip(log_std, *LOG_STD)) * noise)

        return act

    def learn(self, chunk: Chunk) -> None:
        self._memory.extend(chunk)
        self._steps += len(chunk.rows)
        if self._steps <= self._config.learning_starts:
            return
        for _ in range(self._config.utd * len(chunk.rows)):
            batch = self._sample()
            self._sac.update_critics(batch)
            if self._sac.critic_updates % self._config.actor_delay == 0:
                self._sac.update_actor(batch)

    def _sample(self) -> Batch:
        share = self._config.demonstration_share
        batch = self._memory.sample(self._config.batch_size, prior_share=share)
        return Batch(*map(torch.from_numpy, batch))

    @property
    def _squash(self):
        """What of the network's mean is the argument of tanh."""
        if self._config.mean == "action":
            return lambda mean: np.arctanh(np.clip(mean, -BORDER, BORDER))
        return lambda mean: mean


class StableBaselines:
    """stable-baselines3's SAC in its own loop, from nothing: its defaults but for `settings`."""

    def __init__(self, env: gymnasium.Env, settings: dict, seed: int):
        try:
            from stable_baselines3 import SAC  # 2 s, and not needed by the other methods
        except ModuleNotFoundError as missing:
            raise PorlError(f"{missing}: pip install -r benchmarks/requirements.txt") from None
        self._model = SAC("MlpPolicy", env, seed=seed, device="cpu", **settings)
        self.updates_begin = self._model.learning_starts

    @property
    def gradient_steps(self) -> int:
        return self._model._n_updates

    @property
    def actor_updates(self) -> int:
        return self._model._n_updates

    def advance(self, until: int) -> None:
        steps = until - self._model.num_timesteps
        if steps > 0:
            self._model.learn(steps, reset_num_timesteps=self._model.num_timesteps == 0)

    def policy(self) -> Policy:
        network = _as_actor(self._model.actor).for_control()
        return lambda observation: np.tanh(network(observation))


def _as_actor(theirs: torch.nn.Module) -> Actor:
    """Their policy as our network: a call costs a tenth of theirs."""
    linear = [layer for layer in theirs.latent_pi if isinstance(layer, torch.nn.Linear)]
    linear.append(theirs.mu)
    hidden = tuple(layer.out_features for layer in linear[:-1])
    ours = Actor(linear[0].in_features, linear[-1].out_features, hidden)
    own = [layer for layer in ours.layers if isinstance(layer, torch.nn.Linear)]
    for mine, their in zip(own, linear, strict=True):
        mine.load_state_dict(their.state_dict())
    return ours
