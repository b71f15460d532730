"""What was spoiled on purpose is stopped by the gate; what it was made from is not."""

import shutil

import numpy as np
import pytest
from gated import robot_file

from benchmarks.gate_worth.judging import Bench
from benchmarks.gate_worth.sabotage import FEEDBACK, SABOTAGES, sabotaged
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.robot.observation import ObservationAssembler
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import Validation


@pytest.mark.slow
def test_whatever_was_sabotaged_is_refused(tmp_path, base):
    """By a rule that the base passes."""
    robot = robot_file(tmp_path / "robot.yaml", success=0.4, margin=0.2)
    config, stopped = load_robot(robot), {}
    base = shutil.copytree(base, tmp_path / "base")  # a record is written beside it
    with Evaluator(robot) as evaluator:
        record = Validation(robot, base).run(evaluator)
        assert record.admitted, record.why
        for kind in SABOTAGES:
            bundle = sabotaged(base, kind, config, tmp_path / kind)
            verdict = Validation(robot, bundle).run(evaluator)
            assert not verdict.admitted, kind
            assert len(verdict.episodes) < 100, kind
            stopped[kind] = verdict
        seen = Bench(config, evaluator, tmp_path / "episodes").suite(base, "calibrated", 3)
        assert tuple(seen) == record.episodes[:3]  # the benchmark runs what the gate runs
    assert stopped["chattering"].success > 0.4  # nothing but its bound stops this one
    assert stopped["chattering"].why.startswith("roughness is not at most 1.5")


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory, base, config) -> dict:
    """Bundles of every kind, as they are loaded."""
    folder = tmp_path_factory.mktemp("spoiled")
    return {
        kind: load_bundle(sabotaged(base, kind, config, folder / kind), config)
        for kind in SABOTAGES
    }


@pytest.fixture(scope="module")
def seen(config) -> np.ndarray:
    """Observations."""
    return np.random.default_rng(0).normal(size=(20, ObservationAssembler(config).size))


def test_each_acts_otherwise_than_the_policy_that_it_was_made_from(spoiled, base, seen):
    good = load_bundle(base)
    before = good.actor.for_control()
    for kind, bundle in spoiled.items():
        after = bundle.actor.for_control()
        off = max(np.abs(after(one) - before(one)).max() for one in seen.astype(np.float32))
        louder = bundle.manifest.exploration_std > 4 * good.manifest.exploration_std
        assert off > 0.1 or louder, kind


def test_the_chattering_one_pushes_against_its_last_action(spoiled, base, seen, config):
    before, after = load_bundle(base).actor.for_control(), spoiled["chattering"].actor.for_control()
    names = ObservationAssembler(config).names
    last = [i for i, name in enumerate(names) if name.startswith("last_action.")]
    for one in seen.astype(np.float32):
        mean = before(one)
        assert after(one) == pytest.approx(mean + FEEDBACK * (mean - one[last]), abs=1e-4)
