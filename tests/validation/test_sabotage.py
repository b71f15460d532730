"""What was spoiled on purpose is stopped by the gate; what is as good as the base is not."""

import shutil

import numpy as np
import pytest
from gated import CALIBRATION, robot_file

from benchmarks.gate_worth.judging import Bench
from benchmarks.gate_worth.sabotage import FEEDBACK, SABOTAGES, sabotaged
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.robot.observation import ObservationAssembler
from porl_ros.simulation.scene import SceneConfig
from porl_ros.validation.admission import verify
from porl_ros.validation.calibration import save_cell
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import Validation


@pytest.mark.slow
def test_a_base_is_admitted_and_whatever_was_sabotaged_is_not(tmp_path, base):
    cell, heard = str(calibrated(tmp_path / "cell.yaml")), []
    robot = robot_file(tmp_path / "robot.yaml", cell, success=None)
    config = load_robot(robot)
    base = shutil.copytree(base, tmp_path / "base")  # records are written beside it
    with Evaluator(robot) as evaluator:
        record = Validation(robot, base, as_base=True).run(evaluator, heard.append)
        assert record.decision == "admitted", record.why
        assert len(record.episodes) == record.planned == len(heard) == 200
        assert 0.4 <= record.success <= 0.9
        assert record.seconds <= 120.0  # as promised: 60 s for 100 episodes
        assert verify(base, config).record == record
        assert (record.cell, record.calibration) == (cell, CALIBRATION)
        for kind in SABOTAGES:
            bundle = sabotaged(base, kind, config, tmp_path / kind)
            verdict = Validation(robot, bundle, reference=base).run(evaluator)
            assert verdict.decision == "refused", kind
            assert verdict.reference == record.made.weights_sha256
            assert len(verdict.episodes) < 100, kind
        as_good = copy(base, tmp_path / "as good")
        assert Validation(robot, as_good, reference=base).run(evaluator).admitted
        seen = Bench(config, evaluator, tmp_path / "episodes").suite(base, cell, 3)
        assert tuple(seen) == record.episodes[:3]  # the benchmark runs what the gate runs


def calibrated(path):
    """The file of a cell, as it would be if the robot stood where the policy was cloned."""
    scene = SceneConfig.load("ur5e_insert.yaml")
    save_cell(scene.variant("calibrated"), CALIBRATION, "ur5e_insert.yaml", path)
    return path


def copy(base, path):
    """The same weights in a bundle of their own."""
    good = load_bundle(base)
    save_bundle(path, good.actor, good.manifest.contract, made_by="a test", version=1,
                exploration_std=good.manifest.exploration_std)  # fmt: skip
    return path


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
