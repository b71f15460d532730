"""The gate: runs the suite of a robot's scene with a bundle, judges, and writes the record."""

import getpass
import socket
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros import __version__
from porl_ros.errors import ConfigError, PorlError
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.config_gate import Rule
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite
from porl_ros.simulation.variant import Variant
from porl_ros.validation.admission import describe, verify
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.judge import Judge
from porl_ros.validation.measures import Case, measure
from porl_ros.validation.record import Record, write_record

# Seeds of the suite begin here: far from those of training, demonstrations and evaluation.
GATE_SEED = 3_000_000_000_000


class Progress(NamedTuple):
    """How far a validation is: episodes that are judged, of at most so many, and successes."""

    episodes: int
    planned: int
    successes: int


class Validation:
    """One validation of one bundle: everything is checked when it is made, nothing is run yet.

    Raises PorlError for whatever does not fit together.
    """

    def __init__(
        self,
        robot: str | Path,
        bundle: Path,
        as_base: bool = False,
        reference: Path | None = None,
    ):
        self._bundle = bundle
        self.config = load_robot(robot)
        self._loaded = load_bundle(bundle, self.config)
        self._suite = Suite.load(self.config.simulation.scene)
        self._made = describe(bundle, self.config)
        self.planned = self._suite.nominal + self._suite.randomised
        self._purpose = "base" if as_base else "policy"
        self.reference = self._read_reference(reference, as_base)
        _check(self.config.gate.rule, self.planned, as_base)
        pairs = {e.seed: e for e in self.reference.episodes} if self.reference else None
        self._judge = Judge(self.config.gate.rule, self.planned, as_base, pairs)

    def run(
        self, evaluator: Evaluator, progress: Callable[[Progress], None] = lambda p: None
    ) -> Record:
        """Run episodes until it is decided, write the record and return it. Interrupted, nothing
        is written. `evaluator` is one for this robot; it may be used again."""
        begun, successes = time.monotonic(), 0
        with closing(evaluator.each(measure, self._cases())) as episodes:
            for one in episodes:
                successes += one.success
                decided = self._judge.observe(one)
                progress(Progress(len(self._judge.episodes), self.planned, successes))
                if decided:
                    break
        self._require_unchanged()
        record = self._record(time.monotonic() - begun)
        write_record(self._bundle, record)
        return record

    def _cases(self) -> list[Case]:
        scene = SceneConfig.load(self.config.simulation.scene)
        around = scene.variant(self.config.simulation.variant)
        return suite_cases(self._suite, around, self._bundle, self._made.weights_sha256)

    def _read_reference(self, reference: Path | None, as_base: bool) -> Record | None:
        rule = self.config.gate.rule
        if reference is None:
            if rule.success is None and not as_base:
                raise PorlError(
                    "gate.rule.success = null: then only a comparison can admit a policy; name the "
                    "bundle to compare with, which must be admitted itself, with --reference"
                )
            return None
        if as_base:
            raise PorlError("--as-base and --reference exclude each other: a base is the reference")
        record = verify(reference, self.config).record
        if rule.worse_by is not None and len(record.episodes) < self.planned:
            raise PorlError(
                f"{reference}: was decided after {len(record.episodes)} of {self.planned} "
                "episodes, too few to compare with; validate it with --as-base, which runs all"
            )
        return record

    def _require_unchanged(self) -> None:
        if describe(self._bundle, self.config) != self._made:
            raise PorlError(
                f"{self._bundle}: bundle, scene, suite or code changed while it was being judged; "
                "nothing is written; validate again"
            )

    def _record(self, seconds: float) -> Record:
        config, judge, reference = self.config, self._judge, self.reference
        scene = SceneConfig.load(config.simulation.scene)
        return Record(
            bundle=self._bundle.name,
            policy_version=self._loaded.manifest.version,
            robot=config.name,
            scene=config.simulation.scene,
            cell=config.simulation.variant,
            made=self._made,
            purpose=self._purpose,
            reference=reference.made.weights_sha256 if reference else None,
            decision=judge.decision,
            why=judge.why,
            criteria=tuple(judge.criteria()),
            chances=judge.chances(),
            episodes=tuple(judge.episodes),
            planned=self.planned,
            rule=config.gate.rule.model_dump(mode="json"),
            suite=self._suite.model_dump(mode="json"),
            variant=scene.variant(config.simulation.variant).model_dump(mode="json"),
            calibration=scene.calibration(config.simulation.variant),
            packages={name: _version(name) for name in ("mujoco", "numpy", "torch")}
            | {"porl_ros": __version__},
            made_at=datetime.now(UTC),
            made_by=f"{getpass.getuser()}@{socket.gethostname()}",
            seconds=round(seconds, 3),
        )


def suite_cases(suite: Suite, around: Variant, bundle: Path, weights_sha256: str) -> list[Case]:
    """All episodes in their order; nominal and randomised ones are mixed, so that each stretch of
    them speaks for the whole."""
    nominal = np.arange(suite.nominal + suite.randomised) < suite.nominal
    np.random.default_rng(GATE_SEED).shuffle(nominal)
    cases = []
    for seed, as_it_is in enumerate(nominal.tolist(), GATE_SEED):
        cell = around if as_it_is else suite.draw(seed, around)
        cases.append(Case(bundle, weights_sha256, seed, cell, as_it_is))
    return cases


def _check(rule: Rule, planned: int, as_base: bool) -> None:
    """Whether the suite is long enough for what the rule states. ConfigError."""
    if as_base:
        if all(bound is None for bound in rule.bounds.model_dump().values()):
            raise ConfigError("gate.rule.bounds: all null: nothing is left to judge a base by")
        if planned < 1:
            raise ConfigError("suite: has no episodes; give nominal or randomised ones")
        return
    if planned < rule.least:
        raise ConfigError(
            f"gate.rule.least = {rule.least}: the suite has only {planned} episodes; give it more"
        )
    if rule.success is None:
        return
    good = f"{rule.success + rule.margin:g}"
    missed = 1.0 - Judge(rule, planned).chances()[good]
    if missed > rule.false_refusal:
        raise ConfigError(
            f"suite: of {planned} episodes, a policy that succeeds in a share of {good} is turned "
            f"away with a chance of {missed:.2f}, more than gate.rule.false_refusal = "
            f"{rule.false_refusal:g}; give the suite more episodes, or the rule a wider margin"
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
