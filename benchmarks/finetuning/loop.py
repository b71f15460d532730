"""Acting and learning in turn, as the service does it in lock-step: what acts lags behind.

Learners are asked for transitions up to a step; between two evaluations nothing else happens.
"""

from collections.abc import Callable
from typing import Protocol

import gymnasium
import numpy as np

from benchmarks.finetuning.episodes import DemoEpisode, Policy
from porl_ros.replay import Chunk, ReplaySchema

Behaviour = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # with exploration
RUN = "benchmark/run"


class Learner(Protocol):
    """What a run drives and evaluates."""

    updates_begin: int  # environment step after which the policy begins to change
    gradient_steps: int  # critic updates so far
    actor_updates: int

    def advance(self, until: int) -> None:
        """Act and learn up to this environment step, counted from 0."""

    def policy(self) -> Policy:
        """The deterministic policy as it is now; later learning leaves it as it is."""


class Agent(Protocol):
    """A learner that leaves acting to the `Loop`."""

    updates_begin: int
    gradient_steps: int
    actor_updates: int

    def policy(self) -> Policy: ...

    def behaviour(self) -> Behaviour:
        """How it acts and explores with the weights of now."""

    def learn(self, chunk: Chunk) -> None:
        """Take in transitions and do all updates that are due."""


class Loop:
    """Drives an agent on an environment.

    Weights are published every `publish_every` steps and act from the next publication on: in
    service, one block is collected while the one before it is learned from.
    """

    def __init__(self, env: gymnasium.Env, agent: Agent, seed: int, publish_every: int):
        self._env, self._agent, self._publish_every = env, agent, publish_every
        self._rng = np.random.default_rng(seed)
        self._rows = Rows(env.observation_space.shape[0], env.action_space.shape[0])
        self._step = self._episode = 0
        self._observation: np.ndarray | None = None
        self._acting = self._published = agent.behaviour()

    @property
    def updates_begin(self) -> int:
        return self._agent.updates_begin

    @property
    def gradient_steps(self) -> int:
        return self._agent.gradient_steps

    @property
    def actor_updates(self) -> int:
        return self._agent.actor_updates

    def policy(self) -> Policy:
        return self._agent.policy()

    def advance(self, until: int) -> None:
        while self._step < until:
            if self._step % self._publish_every == 0:
                self._acting, self._published = self._published, self._agent.behaviour()
            if self._observation is None:
                self._observation, _ = self._env.reset()
            self._act()

    def _act(self) -> None:
        observation = np.asarray(self._observation, np.float32)
        action = self._acting(observation, self._rng)
        following, reward, terminated, truncated, _ = self._env.step(action)
        chunk = self._rows.step(
            self._step, self._episode, observation, action, reward, following, terminated, truncated
        )
        self._observation = None if terminated or truncated else following
        self._episode += bool(terminated or truncated)
        self._step += 1
        self._agent.learn(chunk)


class Rows:
    """Transitions as the product's memory takes them."""

    def __init__(self, observation_size: int, action_size: int):
        self._schema = ReplaySchema(
            contract_hash="benchmark",
            observation_names=tuple(f"o{i}" for i in range(observation_size)),
            action_names=tuple(f"a{i}" for i in range(action_size)),
        )
        self._row, self._final = self._schema.row_dtype, self._schema.final_dtype

    def step(
        self, step: int, episode: int, observation: np.ndarray, action: np.ndarray, reward: float,
        following: np.ndarray, terminated: bool, truncated: bool,
    ) -> Chunk:  # fmt: skip
        """One transition, with the observation after it where it ends the episode."""
        rows, ended = np.zeros(1, self._row), terminated or truncated
        rows["observation"], rows["action"], rows["reward"] = observation, action, reward
        rows["terminated"], rows["truncated"], rows["episode"] = terminated, truncated, episode
        finals = np.zeros(int(ended), self._final)
        if ended:
            finals["row"], finals["truncated"], finals["observation"] = step, truncated, following
        return Chunk(RUN, step, rows, finals)

    def demonstrations(self, episodes: list[DemoEpisode]) -> Chunk:
        """All demonstrations, with the actions that were carried out."""
        lengths = [len(episode.actions) for episode in episodes]
        rows = np.zeros(sum(lengths), self._row)
        finals = np.zeros(len(episodes), self._final)
        ends = np.cumsum(lengths)
        for number, (episode, end, length) in enumerate(zip(episodes, ends, lengths, strict=True)):
            part = rows[end - length : end]
            part["observation"], part["action"] = episode.observations[:-1], episode.actions
            part["reward"], part["episode"] = episode.rewards, number
            part["terminated"][-1], part["truncated"][-1] = (
                episode.terminated,
                not episode.terminated,
            )
            finals[number]["row"], finals[number]["truncated"] = end - 1, not episode.terminated
            finals[number]["observation"] = episode.observations[-1]
        return Chunk("benchmark/demonstrations", 0, rows, finals)
