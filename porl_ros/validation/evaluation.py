"""Episodes of a policy in headless MuJoCo, on fixed seeds, over the cores of the machine."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.stats import binomtest

from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.robot import SimulatedRobot

# Seeds of evaluation episodes begin here: far from those of training and of demonstrations.
EVALUATION_SEED = 2_000_000_000_000

Case, Result = TypeVar("Case"), TypeVar("Result")


class EpisodeOutcome(NamedTuple):
    """What one episode came to."""

    seed: int
    success: bool
    steps: int


def wilson(successes: int, episodes: int) -> tuple[float, float]:
    """95 % confidence interval of a share."""
    ci = binomtest(successes, episodes).proportion_ci(method="wilson")
    return float(ci.low), float(ci.high)


class Evaluation(NamedTuple):
    """Deterministic episodes (no exploration noise) of one bundle."""

    episodes: tuple[EpisodeOutcome, ...]

    @property
    def success(self) -> float:
        """Share of successes."""
        return float(np.mean([episode.success for episode in self.episodes]))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the success (Wilson)."""
        return wilson(sum(episode.success for episode in self.episodes), len(self.episodes))

    @property
    def steps_to_success(self) -> float:
        """Mean length of the successful episodes, control steps; NaN without one."""
        lengths = [episode.steps for episode in self.episodes if episode.success]
        return float(np.mean(lengths)) if lengths else float("nan")


def run_episode(
    env: RobotEnv, policy: Callable[[np.ndarray], np.ndarray], seed: int
) -> EpisodeOutcome:
    """One episode of a policy (observation -> action)."""
    observation, _ = env.reset(seed=seed)
    while True:
        observation, _, terminated, truncated, _ = env.step(policy(observation))
        if terminated or truncated:
            return EpisodeOutcome(seed, terminated, env.controller.steps)


class Evaluator:
    """Evaluates bundles in parallel; the result does not depend on the number of workers.

    A context manager: the worker processes end with it.
    """

    def __init__(
        self, robot_config: str | Path, variant: str | None = None, workers: int | None = None
    ):
        """Raises ConfigError for what does not fit: config, scene, its models, the cell."""
        SimulatedRobot(load_robot(robot_config), variant)  # told here, not in a worker
        self._workers = workers or os.cpu_count() or 1
        self._pool = ProcessPoolExecutor(
            self._workers,
            multiprocessing.get_context("spawn"),
            _prepare,
            (str(robot_config), variant),
        )

    def evaluate(self, bundle: Path, seeds: Sequence[int]) -> Evaluation:
        """Episodes of these seeds; BundleError or ContractMismatch if the bundle does not fit."""
        return self.evaluate_all([bundle], seeds)[0]

    def evaluate_all(
        self,
        bundles: Sequence[Path],
        seeds: Sequence[int],
        progress: Callable[[int], None] = lambda n: None,
    ) -> list[Evaluation]:
        """The same episodes for several bundles; `progress` gets the number of episodes done."""
        parts = [
            seeds[i :: self._workers] for i in range(self._workers) if seeds[i :: self._workers]
        ]
        with _deaf():
            jobs = [[self._pool.submit(_run, str(b), list(p)) for p in parts] for b in bundles]
        done, results = 0, []
        for job in jobs:
            episodes = []
            for future in job:
                episodes += future.result()
                done += len(future.result())
                progress(done)
            results.append(Evaluation(tuple(sorted(episodes))))
        return results

    def each(
        self, function: Callable[[RobotEnv, RobotConfig, Case], Result], cases: Iterable[Case]
    ) -> Iterator[Result]:
        """Results of `function(env, config, case)` in the order of the cases, as they come; what is
        left when the iterator is closed is not run."""
        with _deaf():
            return self._pool.map(partial(_call, function), cases)

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C waits until the processes that begin in here have begun, and they never hear it: it is
    their parent's to handle."""
    resource_tracker.ensure_running()  # beginning later, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # is handed down
    noted: list[int] = []
    ours = current_thread() is main_thread()  # other threads are not interrupted
    handler = signal.signal(signal.SIGINT, lambda *_: noted.append(1)) if ours else None
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if ours:
            signal.signal(signal.SIGINT, handler)
        if noted:
            signal.raise_signal(signal.SIGINT)


_env: RobotEnv | None = None
_config: RobotConfig | None = None


def _prepare(robot_config: str, variant: str | None) -> None:
    global _env, _config
    Thread(target=_end_with_parent, daemon=True).start()
    _config = load_robot(robot_config)
    _env = RobotEnv(_config, variant)


def _end_with_parent() -> None:
    """A parent that was killed leaves nobody behind who waits for work."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _call(function: Callable[[RobotEnv, RobotConfig, Case], Result], case: Case) -> Result:
    return function(_env, _config, case)


def _run(bundle: str, seeds: Iterable[int]) -> list[EpisodeOutcome]:
    policy = load_bundle(bundle, _config).actor.for_control()
    return [run_episode(_env, policy, seed) for seed in seeds]
