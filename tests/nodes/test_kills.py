"""kill -9 at random moments: the learner, the policy node and the simulation, in any order.

PORL_KILLS=30 pytest tests/nodes/test_kills.py -s --timeout 5400   # of each, and what became of it
"""

import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from running import System, running
from scipy.stats import fisher_exact

from porl_ros.learning.config import PorlConfig
from porl_ros.replay import Chunk
from porl_ros.replay.reading.reader import ReplayReader, read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.validation.evaluation import EVALUATION_SEED, Evaluation, Evaluator

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PORL_KILLS", "1"))
# s in which neither the robot takes a step nor the learner makes an update, though everyone was
# started again
HANG = 10.0
PAUSE = 0.2, 6.0  # s from a restart to the next kill: more than one may be away
RESPAWN = 1.0  # s until a node is started again, as a launch file does it
SHORT = {"presample_steps": 150, "warmup_mc_updates": 50, "warmup_td_updates": 50}
SHORT |= {"utd": 1, "batch_size": 16, "critic_hidden": [16], "publish_every": 25}
STEPS = 15_000  # of a run with the shipped settings, killed or not
WHOLE = {**PorlConfig().model_dump(), "total_steps": STEPS}
EPISODES = range(EVALUATION_SEED + 20_000, EVALUATION_SEED + 20_200)


class Witness:
    """Reads the store while it grows, and remembers each row and when there was something new."""

    def __init__(self, system: System, config: RobotConfig):
        self._system, self._store, self._config = system, system.folder / "store", config
        self._reader: ReplayReader | None = None
        self._updates, self._moved_at = 0.0, time.monotonic()
        self.seen: list[Chunk] = []
        self.longest = 0.0  # s

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._system.monitor.spin(0.05)
            self._look()

    def watch_until(self, condition, what: str, seconds: float = 120.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"{what}: in vain; {self._system.state}"
            self.watch(0.1)

    def wait_anew(self) -> None:
        """Somebody has been started again: give them time to come up."""
        self._moved_at = time.monotonic()

    @property
    def steps(self) -> int:
        return sum(len(chunk.rows) for chunk in self.seen)

    @property
    def updates(self) -> float:
        return self._system.monitor.learner.get("gradient_steps", 0.0)

    def _look(self) -> None:
        if self._reader is None and (self._store / "zarr.json").exists():
            self._reader = ReplayReader(self._store, self._config.contract_hash)
        new = list(self._reader.poll()) if self._reader else []
        self.seen += new
        now = time.monotonic()
        self.longest = max(self.longest, now - self._moved_at)
        if new or self.updates != self._updates:
            self._moved_at, self._updates = now, self.updates


def kill_them(system: System, witness: Witness, rng: random.Random) -> None:
    victims = KILLS * ["simulation", "policy", "finetune"]
    rng.shuffle(victims)
    for number, victim in enumerate(victims, start=1):
        witness.watch(rng.uniform(*PAUSE))
        system.nodes.check()  # nobody else has died
        system.nodes.kill(victim)
        told = f"{witness.steps} steps, {witness.updates:.0f} updates"
        print(f"{number} of {len(victims)}: {victim}; {told}; stood {witness.longest:.1f} s")
        witness.watch(RESPAWN)
        system.nodes.start(system.specs[victim])
        witness.wait_anew()


def test_whoever_is_killed_the_run_goes_on(tmp_path, base, config):
    settings = SHORT | {"total_steps": 1_000_000} if KILLS == 1 else WHOLE
    with running(tmp_path, base, settings, finetune={"checkpoint_interval": 2.0}) as system:
        witness, monitor = Witness(system, config), system.monitor
        witness.watch_until(lambda: (monitor.policy_version or 0) >= 2, "learning")
        witness.longest = 0.0
        kill_them(system, witness, random.Random(KILLS))

        version, steps = monitor.policy_version, witness.steps  # everyone is back, and goes on
        witness.watch_until(lambda: monitor.policy_version > version + 1, "new policies")
        witness.watch_until(lambda: witness.steps > steps + 200, "steps")
        if KILLS > 1:
            witness.watch_until(lambda: monitor.learner.get("finished"), "the end", 1800.0)
        assert set(system.nodes.stop().values()) == {0}
    assert witness.longest < HANG
    assert_nothing_lost(witness.seen, read_store(tmp_path / "store", config.contract_hash))
    if KILLS > 1:
        print(f"longest time in which nothing moved: {witness.longest:.1f} s")
        assert_as_good_as_undisturbed(tmp_path, base)


def assert_nothing_lost(seen: list[Chunk], kept: Iterable[Chunk]) -> None:
    """Whatever row was ever read is in the store, as it was read; episodes cut may be truncated."""
    store = {}
    for run, first, rows, _ in kept:
        store |= {(run, first + i): row for i, row in enumerate(rows)}
    fields = [name for name in seen[0].rows.dtype.names if name != "truncated"]
    for run, first, rows, _ in seen:
        for i, row in enumerate(rows):
            for field in fields:
                assert np.array_equal(store[run, first + i][field], row[field]), (run, first + i)


def assert_as_good_as_undisturbed(folder: Path, base: Path) -> None:
    with running(folder / "undisturbed", base, WHOLE) as system:
        system.wait_for(lambda: bool(system.monitor.learner.get("finished")), 3600.0)
    ends = [base, newest(folder / "undisturbed"), newest(folder)]
    with Evaluator("ur5e_insert") as evaluator:
        before, undisturbed, killed = evaluator.evaluate_all(ends, EPISODES)
    print(f"success: base {before.success}, undisturbed {undisturbed.success}, {killed.success}")
    table = [outcomes(undisturbed), outcomes(killed)]
    assert fisher_exact(table, alternative="greater").pvalue > 0.05
    assert killed.success > before.success


def outcomes(evaluation: Evaluation) -> tuple[int, int]:
    """Successes and failures."""
    successes = sum(episode.success for episode in evaluation.episodes)
    return successes, len(evaluation.episodes) - successes


def newest(folder: Path) -> Path:
    return max((folder / "learner" / "bundles").glob("[0-9]*"))
