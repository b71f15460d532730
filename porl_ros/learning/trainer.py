"""From transitions to policies: the stages of PORL, and the books of what was done in them.

The trainer is fed transitions in order and told to work. It knows no ROS, no clock and no disk;
fine-tuning nodes, the Gymnasium loop and tests drive the same object.
"""

import math
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import torch

from porl_ros.learning.anchor import Anchor
from porl_ros.learning.books import State
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import Porl
from porl_ros.learning.warmup import CriticWarmup
from porl_ros.policy.network import Actor
from porl_ros.policy.residual import ResidualActor
from porl_ros.replay.memory.replay_memory import Episode, ReplayMemory
from porl_ros.replay.reading.reader import Chunk


class Stage(StrEnum):
    """Where fine-tuning is."""

    WAITING = "waiting"
    PRESAMPLE = "pre-sample"
    WARMUP = "critic warm-up"
    ONLINE = "online"
    FINISHED = "finished"


class Progress(NamedTuple):
    """A snapshot for people and plots; immutable, so any thread may read it."""

    stage: Stage
    done: int  # of `total` units of the stage: environment steps, or updates while warming up
    total: int
    env_steps: int
    gradient_steps: int
    episodes: int
    recent_success: float  # of the last `anchor_window` episodes; NaN before the first
    base_success: float  # of the frozen policy as it explored in the pre-sample stage
    utd: float  # critic updates per environment step since updates began
    anchor: float
    critic_error: float  # of the warm-up, on held-out transitions; see warmup.critic_error
    critic_loss: float
    actor_loss: float
    value: float  # mean Q of the last critic batch
    batch_return: float  # what that estimates, online: mean return of its steps that is known


class Trainer:
    """One fine-tuning run. One thread feeds and works; `progress` may be read by others."""

    def __init__(
        self,
        actor: Actor | ResidualActor,
        config: PorlConfig,
        seed: int,
        device="cpu",
        value_range=None,
    ):
        self.config, self._seed = config, seed
        self.porl = Porl(self._learned_form(actor), config, seed, device, value_range)
        self.prior = self._make_memory(actor, seed, None)
        self.memory = self._make_memory(actor, seed, self.prior)
        self.env_steps = self.episodes = 0
        self.warmup = CriticWarmup(self.porl, self.memory, config)
        self._owed = self._paid_for = 0
        self._actor_rests_until = 0  # environment steps
        self._anchor = Anchor(config)
        self._returns = np.zeros(0)  # to the end of the episode, of the last critic batch
        self._critic_loss, self._actor_loss = torch.tensor(math.nan), torch.tensor(math.nan)

    def _make_memory(self, actor, seed: int, prior: ReplayMemory | None) -> ReplayMemory:
        config, sizes = self.config, (actor.observation_size, actor.action_size)
        return ReplayMemory(
            *sizes, config.memory_capacity, config.discount, seed, n_step=config.n_step, prior=prior
        )

    def tune(self, config: PorlConfig) -> None:
        """Go on with other settings, of those that may change: `LIVE`."""
        self.config = self.warmup.config = self._anchor.config = config
        self.memory.discount = self.prior.discount = config.discount
        self.porl.tune(config)

    @property
    def stage(self) -> Stage:
        """Follows from the counters alone."""
        if self.env_steps == 0:
            return Stage.WAITING
        if self.env_steps < self.config.presample_steps:
            return Stage.PRESAMPLE
        if not self.warmup.done:
            return Stage.WARMUP
        finished = self.env_steps >= self.config.total_steps and not self._owed
        return Stage.FINISHED if finished else Stage.ONLINE

    def feed(self, chunk: Chunk, learn: bool = True) -> list[Episode]:
        """Take in transitions; each, while online, is owed `utd` updates unless `learn` is False.

        Returns the episodes that it completed.
        """
        first, self.env_steps = self.env_steps, self.env_steps + len(chunk.rows)
        online = self.warmup.done and first >= self.config.presample_steps
        if learn:
            self._owe(first)
        episodes = self.memory.extend(chunk)
        for episode in episodes:
            self.episodes += 1
            if not episode.helped:  # else it says nothing about the policy
                self._anchor.hear(episode.success, of_base=not online)
        return episodes

    def feed_prior(self, chunk: Chunk) -> None:
        """Take in demonstrations: `prior_share` of each online batch is drawn from them. They count
        neither as steps nor as episodes."""
        self.prior.extend(chunk)

    def work(self, updates: int) -> int:
        """Do up to `updates` of the critic updates that are due; returns how many were done."""
        if self.memory.size == 0:
            return 0
        done = 0
        while done < updates and self.stage is Stage.WARMUP:
            self._critic_loss = self.warmup.update()
            done += 1
        while done < updates and self._owed:
            self._online_update()
            done += 1
        return done

    def forgive(self, keep: int) -> int:
        """Give up owed updates beyond `keep`, when the learner cannot follow; returns how many."""
        forgiven = max(0, self._owed - keep)
        self._owed -= forgiven
        return forgiven

    def go_back(self, actor: Actor) -> None:
        """The policy side has let `actor` act again: learn on from there. Data and critics stay;
        the actor rests for `recovery_steps`, in which the critics see what it is worth."""
        self.porl.restart_actor(self._learned_form(actor))
        self._actor_rests_until = self.env_steps + self.config.recovery_steps
        self._anchor.forget()

    def _learned_form(self, actor: Actor | ResidualActor) -> Actor | ResidualActor:
        """In residual mode the policy is frozen, and what is learned lies on top of it."""
        if self.config.residual_scale == 0.0 or isinstance(actor, ResidualActor):
            return actor
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return ResidualActor(actor, self.config.residual_scale)

    def state_dict(self) -> State:
        """All that its future depends on, but for the rows, which the store has."""
        porl, warmup = self.porl.state_dict(), self.warmup.state_dict()
        shown = {"critic_loss": self._critic_loss, "actor_loss": self._actor_loss}
        data = warmup.tensors["data"] | shown | {"value": self.porl.last_value}
        books = {
            "env_steps": self.env_steps,
            "episodes": self.episodes,
            "owed": self._owed,
            "paid_for": self._paid_for,
            "actor_rests_until": self._actor_rests_until,
        }
        memories = {"memory": self.memory.state_dict(), "prior": self.prior.state_dict()}
        return State(
            porl.tensors | {"data": data},
            porl.books
            | warmup.books
            | memories
            | {"trainer": books, "anchor": self._anchor.state_dict()},
        )

    def load_state_dict(self, state: State) -> None:
        """Go on exactly where `state_dict` was taken, once the memory is restored, too."""
        books, data = state.books["trainer"], state.tensors["data"]
        self.porl.load_state_dict(state)
        self.warmup.load_state_dict(state)
        self.prior.load_state_dict(state.books["prior"])  # fed by whoever has made this trainer
        self.env_steps, self.episodes = books["env_steps"], books["episodes"]
        self._owed, self._paid_for = books["owed"], books["paid_for"]
        self._actor_rests_until = books["actor_rests_until"]
        self._anchor.load_state_dict(state.books["anchor"])
        self._critic_loss, self._actor_loss = data["critic_loss"], data["actor_loss"]
        self.porl.last_value = data["value"]

    @property
    def owed(self) -> int:
        """Updates that are due, as far as is known: a warm-up may end before its limit."""
        warming = self.warmup.limit - self.warmup.updates if self.stage is Stage.WARMUP else 0
        return self._owed + warming

    @property
    def base_success(self) -> float:
        """Success of the frozen policy in the pre-sample stage; NaN without one."""
        return self._anchor.base_success

    @property
    def anchor(self) -> float:
        """How firmly the policy is held to the frozen one; see `Anchor`."""
        return self._anchor.weight

    @property
    def _actor_rate(self) -> float:
        """When there is little left to gain, the policy moves slowly away from what succeeds; by
        the cube, so that halfway there it still moves nearly as fast as at first."""
        first, last = self.config.actor_learning_rate, self.config.actor_learning_rate_final
        return first + self._anchor.gained**3 * (last - first)

    @property
    def progress(self) -> Progress:
        """What there is to show."""
        done, total = self._stage_progress()
        updates = self.porl.critic_updates - self.warmup.updates
        known = self._returns[np.isfinite(self._returns)]
        return Progress(
            stage=self.stage,
            done=done,
            total=total,
            env_steps=self.env_steps,
            gradient_steps=self.porl.critic_updates,
            episodes=self.episodes,
            recent_success=self._anchor.recent_success,
            base_success=self.base_success,
            utd=updates / self._paid_for if self._paid_for else 0.0,
            anchor=self.anchor,
            critic_error=self.warmup.error,
            critic_loss=float(self._critic_loss),
            actor_loss=float(self._actor_loss),
            value=float(self.porl.last_value),
            batch_return=known.mean().item() if known.size else math.nan,
        )

    def _stage_progress(self) -> tuple[int, int]:
        if self.stage is Stage.WARMUP:
            return self.warmup.updates, self.warmup.limit
        if self.stage in (Stage.WAITING, Stage.PRESAMPLE):
            return self.env_steps, self.config.presample_steps or self.config.total_steps
        return self.env_steps, self.config.total_steps

    def _owe(self, first: int) -> None:
        """Count the rows from number `first` on that lie between pre-sample stage and the end."""
        if not self.warmup.done:
            return
        begin = max(first, self.config.presample_steps)
        rows = max(0, min(self.env_steps, self.config.total_steps) - begin)
        self._owed += self.config.utd * rows
        self._paid_for += rows

    def _online_update(self) -> None:
        config = self.config
        batch = self.memory.sample(
            config.batch_size,
            config.success_share,
            recent_share=config.recent_share,
            prior_share=config.prior_share if self.prior.size else 0.0,
        )
        self._returns = batch.mc_return
        self._critic_loss = self.porl.update_critics(batch)
        resting = self.env_steps < self._actor_rests_until
        if self.porl.critic_updates % self.config.actor_delay == 0 and not resting:
            self._actor_loss = self.porl.update_actor(batch, self.anchor, self._actor_rate)
        self._owed -= 1
