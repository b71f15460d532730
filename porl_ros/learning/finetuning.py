"""The learner's side of the circle: tail the store, train, write bundles, grant steps.

Knows no ROS. The fine-tuning node drives one of these in its training thread.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.learning.books import State
from porl_ros.learning.checkpoint import BOOKS, Checkpoint, CheckpointMismatch
from porl_ros.learning.config import LIVE, PorlConfig
from porl_ros.learning.publishing import Publisher
from porl_ros.learning.store_tail import StoreTail
from porl_ros.learning.trainer import Progress, Stage, Trainer
from porl_ros.policy.bundle import PolicyBundle, load_bundle
from porl_ros.policy.runtime import resolve_device
from porl_ros.policy.saturation import saturation
from porl_ros.replay.memory.replay_memory import Episode
from porl_ros.replay.reading.reader import Chunk, read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import action_names

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000  # a store may hold more than memory does
UPDATES_AT_ONCE = 32  # between two looks at the store, the stop flag and the stage
WITHOUT_LIMIT = 2**62
# Seconds in which a learner that was killed does again, row by row, what it did after its last
# checkpoint. In lock-step the robot stands meanwhile.
CATCH_UP = 5.0


class Grant(NamedTuple):
    """Lock-step only: how far the policy side may run ahead of the learner, and with what.

    Steps are counted from 0. Steps under `until` may be taken; from step `since` on by bundle
    `version`. With both fixed by the learner, what a run does is independent of its timing.
    """

    until: int
    version: int
    since: int


class FineTuning:
    """One fine-tuning run. All methods are called by one thread; what they return is immutable."""

    def __init__(
        self,
        robot: RobotConfig,
        base: Path | str,
        store: Path | str,
        bundles: Path | str,
        config: PorlConfig,
        seed: int = 0,
        device: str = "auto",
        lockstep: bool = False,
        demonstrations: Path | str | None = None,
    ):
        """`demonstrations`: a replay store of the same contract, see `prior_share`.

        Raises BundleError or ContractMismatch for a base policy or demonstrations that do not fit,
        ConfigError for settings that do not fit the robot or each other."""
        _check_presample(config, robot)
        torch.set_num_threads(1)  # the other core belongs to the robot; two threads gain little
        self.base: PolicyBundle = load_bundle(base, robot)
        self.config, self.lockstep = config, lockstep
        self._configured = config.model_dump(mode="json", include=set(LIVE))
        self._paused = False
        self._robot, self._seed = robot, seed
        self._taking_turns = robot.gate.canary.share > 0.0 and not lockstep
        device = resolve_device(device)
        self.trainer = Trainer(self.base.actor, config, seed, device, robot.return_range)
        if demonstrations:
            self._learn_from(Path(demonstrations))
        self._store = StoreTail(Path(store), robot)
        self._queue: deque[Chunk] = deque()
        self._publisher = Publisher(Path(bundles), robot, self.base, config.exploration_std)
        self._published_at = self._published_updates = 0
        self.grant = self._next_grant()
        self.forgiven = 0
        self.returns: dict[str, int] = {}  # how often each robot has gone back to an earlier policy
        self._resumed, self._catch_up_since = False, None  # s of a clock that never jumps
        self._acted: dict[str, int] = {}  # by run: the version that acted last
        self._seen: list[np.ndarray] = []  # observations of the pre-sample stage
        self.saturation: dict[str, float] = {}  # of the base there, once the stage is over
        self.on_episode: Callable[[Episode], None] = lambda episode: None

    def _learn_from(self, demonstrations: Path) -> None:
        if self.config.prior_share == 0.0:
            raise ConfigError(
                f"prior_share = 0.0: nothing would be drawn from the demonstrations in "
                f"{demonstrations}; set it above 0, for example to 0.25"
            )
        for chunk in read_store(demonstrations, self._robot.contract_hash, self._robot.contract):
            self.trainer.feed_prior(chunk)

    def tune(self, wanted: PorlConfig) -> dict[str, tuple[Any, Any]]:
        """Go on with other settings; what changed: old and new by name.

        Raises ConfigError, and changes nothing, for a setting that cannot change in a run.
        """
        changes = {
            name: (old, new) for name, old in self.config if (new := getattr(wanted, name)) != old
        }
        for name, (old, new) in changes.items():
            if name not in LIVE:
                raise ConfigError(f"{name} = {new}: cannot change while it learns, is {old}")
        self.config = wanted
        self.trainer.tune(wanted)
        self._publisher.exploration_std = wanted.exploration_std
        self._grant_more()
        return changes

    def went_back(self, robot: str, version: int, returns: int) -> bool:
        """This robot has let an earlier policy act again, for the `returns`-th time. Whether that
        is news: where policies take turns (docs/gate.md); elsewhere the rows tell, each at its
        place. To be told of the same return again changes nothing."""
        news = self._taking_turns and returns > self.returns.get(robot, 0)
        if news:
            self._go_back(robot, version, returns)
        return news

    def pause(self, paused: bool) -> None:
        """Stop or resume learning; the robot goes on. What it does meanwhile earns no updates."""
        self._paused = paused
        self.grant = self._next_grant()

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def version(self) -> int:
        """Of the newest bundle, or of the base policy before there is one."""
        return self._publisher.version

    @property
    def latest(self) -> Path:
        """That bundle."""
        return self._publisher.latest

    @property
    def waiting_for(self) -> str:
        """What is missing before more can be done, for people; empty when nothing is."""
        steps, config = self.trainer.env_steps, self.config
        if self._store.waiting_for:
            return self._store.waiting_for
        if self.trainer.owed or self._queue or self.trainer.stage is Stage.FINISHED:
            return ""
        total = config.presample_steps if steps < config.presample_steps else config.total_steps
        return f"the store {self._store.path}: {steps} of {total} transitions"

    @property
    def progress(self) -> Progress:
        """A snapshot of the trainer's books."""
        return self.trainer.progress

    def advance(self) -> bool:
        """One round of work; False when there was nothing to do.

        Raises ContractMismatch when the store belongs to another contract, CheckpointMismatch when
        it is not the one that a checkpoint was made with.
        """
        if not self._store.open():
            return False
        if self._resumed:
            self._catch_up_since, self._resumed = time.monotonic(), False
        if len(self._queue) < ROWS_AT_ONCE:
            chunks = self._store.poll(ROWS_AT_ONCE)
            self._queue.extend(one for chunk in chunks for one in _single_rows(chunk))
        if not self._paused and self.trainer.work(UPDATES_AT_ONCE):
            return True
        self._publish_if_due()
        if not self._queue:
            self._catch_up_since = None
            return False
        # In lock-step the rows count one by one, so that every update sees exactly the rows
        # before it, however they arrive. On a robot the newest data is worth more than that.
        in_step = self.lockstep and not self._far_behind()
        for _ in range(1 if in_step else len(self._queue)):
            self._feed(self._queue.popleft())
        if not in_step:
            self.forgiven += self.trainer.forgive(self.config.utd * self.config.publish_every)
        return True

    def _far_behind(self) -> bool:
        since = self._catch_up_since
        return since is not None and time.monotonic() - since > CATCH_UP

    @property
    def made_for(self) -> dict[str, Any]:
        """What a checkpoint must have been made for to be one of this run. JSON-able.

        What may change while it learns is no part of that; a finished run may be made longer.
        """
        return {
            "contract": self._robot.contract,
            "base_policy": self.base.manifest.weights_sha256,
            "learner": self.config.model_dump(mode="json", exclude=set(LIVE)),
            "seed": self._seed,
            "device": self.trainer.porl.device,
            "return_range": list(self._robot.return_range),
        }

    def state_dict(self) -> State:
        """All that the future of this run depends on, but for the rows, which the store has."""
        state = self.trainer.state_dict()
        nothing = np.zeros((0, self.base.actor.observation_size), np.float32)
        state.tensors["data"]["seen"] = torch.from_numpy(np.concatenate([nothing, *self._seen]))
        books: dict[str, Any] = {
            "version": self.version,
            "published_at": self._published_at,
            "published_updates": self._published_updates,
            "grant": list(self.grant),
            "paused": self._paused,
            "forgiven": self.forgiven,
            "returns": dict(self.returns),
            "configured": self._configured,
            "tuned": self.config.model_dump(mode="json", include=set(LIVE)),
            "acted": dict(self._acted),
            "last_rows": dict(self._store.last_rows),
            "saturation": self.saturation,
        }
        return State(state.tensors, state.books | {"run": books})

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on exactly where a checkpoint of this run was taken. Its rows come back from the store
        as soon as that is there, in `advance`. For a new FineTuning.

        Raises CheckpointMismatch if the demonstrations are others.
        """
        state, books = checkpoint.state, checkpoint.state.books["run"]
        try:
            self.trainer.load_state_dict(state)
        except ValueError as error:  # all else was checked when it was read
            raise CheckpointMismatch(
                f"{checkpoint.path}: the demonstrations are not those it was made with ({error}); "
                "give it those, or name another output folder"
            ) from None
        self._store.resume(checkpoint, self.trainer.memory)
        self._publisher.resume(books["version"])
        self._published_at = books["published_at"]
        self._published_updates = books["published_updates"]
        self._paused, self.forgiven = books["paused"], books["forgiven"]
        self.returns, self.saturation = dict(books["returns"]), books["saturation"]
        self._acted = dict(books["acted"])
        seen = state.tensors["data"]["seen"].numpy()
        self._seen = [seen] if len(seen) else []
        self._resumed = True
        until, _, since = books["grant"]  # the version may be one that was published afterwards
        self.grant = Grant(until, self.version, since)
        self._tune_as_before(checkpoint, books)

    def _tune_as_before(self, checkpoint: Checkpoint, books: dict[str, Any]) -> None:
        """What was tuned by hand stays so, unless it is configured otherwise by now."""
        configured, tuned = books["configured"], books["tuned"]
        kept = {n: v for n, v in tuned.items() if configured.get(n) == self._configured.get(n)}
        try:
            self.tune(parse(PorlConfig, self.config.model_dump() | kept, str(checkpoint.path)))
        except ConfigError as error:
            raise CheckpointMismatch(
                f"{error}; put {BOOKS} right, or name another output"
            ) from None

    def _grant_more(self) -> None:
        """The run may have become longer, or its blocks: or nobody would take the next step."""
        if self._paused or self.trainer.stage not in (Stage.ONLINE, Stage.FINISHED):
            return
        config = self.config
        until = min(self._published_at + 2 * config.publish_every, config.total_steps)
        self.grant = self.grant._replace(until=max(self.grant.until, until))

    def _feed(self, chunk: Chunk) -> None:
        if self.trainer.env_steps < self.config.presample_steps:
            self._seen.append(chunk.rows["observation"])
        elif self._seen:
            shares = saturation(self.trainer.porl.base, np.concatenate(self._seen))
            names = action_names(self._robot)
            self.saturation = dict(zip(names, map(float, shares), strict=True))
            self._seen.clear()
        self._store.fed(chunk)
        self._notice_return(chunk)
        for episode in self.trainer.feed(chunk, learn=not self._paused):
            self.on_episode(episode)

    def _notice_return(self, chunk: Chunk) -> None:
        """Within a run versions only rise, unless the policy side has gone back to an older one."""
        if not len(chunk.rows):
            return
        versions = chunk.rows["policy_version"]
        before = np.insert(versions[:-1], 0, self._acted.get(chunk.run, versions[0]))
        falls = np.flatnonzero(versions < before)
        if len(falls) and not self._taking_turns:
            robot = chunk.run.partition("/")[0]
            returns = self.returns.get(robot, 0) + len(falls)
            self._go_back(robot, int(versions[falls[-1]]), returns)
        self._acted[chunk.run] = int(versions[-1])

    def _go_back(self, robot: str, version: int, returns: int) -> None:
        self.returns[robot] = returns
        self.trainer.go_back(self._publisher.actor_of(version))
        self._published_updates = self.trainer.porl.actor_updates

    def _publish_if_due(self) -> None:
        trainer = self.trainer
        if trainer.stage not in (Stage.ONLINE, Stage.FINISHED) or trainer.owed:
            return
        if trainer.env_steps - self._published_at >= self.config.publish_every or (
            trainer.stage is Stage.FINISHED and trainer.env_steps != self._published_at
        ):
            self._published_at = trainer.env_steps
            if trainer.porl.actor_updates > self._published_updates and self._publisher.publish(
                trainer, self.returns
            ):
                self._published_updates = trainer.porl.actor_updates
            self.grant = self._next_grant()

    def _next_grant(self) -> Grant:
        """Two blocks beyond what is learned from: one is collected while the other is learned."""
        config, steps, version = self.config, self.trainer.env_steps, self.version
        if self._paused:
            return Grant(WITHOUT_LIMIT, version, 0)
        if steps < config.presample_steps:
            return Grant(config.presample_steps, version, 0)
        until = min(steps + 2 * config.publish_every, config.total_steps)
        return Grant(until, version, min(steps + config.publish_every, until))


def _single_rows(chunk: Chunk) -> Iterator[Chunk]:
    """The chunk row by row, each with the finals that close it or, for the first, earlier rows."""
    for i in range(len(chunk.rows)):
        row = chunk.first_row + i
        at = chunk.finals["row"] == row if i else chunk.finals["row"] <= row
        yield Chunk(chunk.run, row, chunk.rows[i : i + 1], chunk.finals[at])
    if not len(chunk.rows):
        yield chunk


def _check_presample(config: PorlConfig, robot: RobotConfig) -> None:
    steps, horizon = config.presample_steps, robot.episode.horizon
    if 0 < steps < horizon:
        raise ConfigError(
            f"presample_steps = {steps}: must be 0 or at least an episode ({horizon} steps), or "
            "nothing is known of the base policy"
        )
