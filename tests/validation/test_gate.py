"""The gate in MuJoCo: what is measured, who passes, and what is left behind."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from gated import CALIBRATION, robot_file

from porl_ros.errors import ConfigError, PorlError
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite
from porl_ros.validation.admission import verify
from porl_ros.validation.calibration import save_cell
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import GATE_SEED, Validation
from porl_ros.validation.measures import Case, ContactForce, measure
from porl_ros.validation.record import record_path


@pytest.fixture(scope="module")
def own_base(tmp_path_factory, base) -> Path:
    """The cloned policy, with records of this file's own beside it."""
    return shutil.copytree(base, tmp_path_factory.mktemp("gate") / "base")


@pytest.fixture(scope="module")
def cases(own_base, config) -> list[Case]:
    """Nominal and drawn ones in turn."""
    return [case(own_base, config, GATE_SEED + i, drawn=bool(i % 2)) for i in range(8)]


def case(bundle: Path, config, seed: int, cell: str = "calibrated", drawn: bool = False) -> Case:
    around = RobotEnv(config, cell).robot.variant
    suite = Suite.load(config.simulation.scene)
    weights = load_bundle(bundle).manifest.weights_sha256
    return Case(bundle, weights, seed, suite.draw(seed, around) if drawn else around, not drawn)


def test_an_episode_is_the_same_whatever_was_run_before(cases, config):
    env, other = RobotEnv(config, "shifted"), RobotEnv(config, "calibrated")
    forwards = [measure(env, config, one) for one in cases]
    backwards = [measure(other, config, one) for one in reversed(cases)]
    assert forwards == backwards[::-1]
    assert len({one.roughness for one in forwards}) == len(cases)


@pytest.mark.slow
def test_episodes_are_the_same_whatever_the_number_of_workers(cases):
    seen = []
    for workers in (1, 2):
        with Evaluator("ur5e_insert", workers=workers) as evaluator:
            seen.append(list(evaluator.each(measure, cases)))
    assert seen[0] == seen[1]
    assert [one.seed for one in seen[0]] == [one.seed for one in cases]


def test_the_policy_is_judged_as_it_will_act(own_base, config):
    """With its exploration noise: without it, actions are far smoother."""
    env, one = RobotEnv(config), case(own_base, config, GATE_SEED)
    manifest = load_bundle(own_base).manifest
    still = own_base.parent / "still"
    if not still.exists():
        bundle = load_bundle(own_base)
        save_bundle(still, bundle.actor, bundle.manifest.contract, made_by="a test", version=0,
                    exploration_std=0.0)  # fmt: skip
    assert manifest.exploration_std == 0.2
    noisy, smooth = measure(env, config, one), measure(env, config, one._replace(bundle=still))
    assert noisy.roughness > 3 * smooth.roughness


def test_the_force_is_that_of_the_robot_on_something_else(config):
    env = RobotEnv(config, "calibrated")
    env.reset(seed=1)
    with ContactForce(env) as free:
        env.step(np.array([0.0, 0.0, 1.0]))
    assert free.peak == 0.0
    env.reset(seed=1)
    rim = env.robot.task.goal + [0.03, 0.0, 0.0]
    with ContactForce(env) as pressing:
        for _ in range(40):
            env.step(np.clip((rim - [0, 0, 0.05] - env.controller.tool_position) / 0.012, -1, 1))
    assert pressing.peak > 20.0
    assert env.robot.after_physics is None


def test_exchanged_weights_are_not_judged(own_base, config):
    one = case(own_base, config, GATE_SEED)._replace(weights_sha256="0" * 64)
    with pytest.raises(PorlError, match="was exchanged while it was being judged"):
        measure(RobotEnv(config), config, one)


@pytest.mark.slow
def test_a_base_is_admitted_and_so_is_what_is_as_good(tmp_path, own_base):
    cell, heard = calibrated(tmp_path / "cell.yaml"), []
    robot = robot_file(tmp_path / "robot.yaml", cell, success=None)
    base = shutil.copytree(own_base, tmp_path / "base")
    with Evaluator(robot) as evaluator:
        record = Validation(robot, base, as_base=True).run(evaluator, heard.append)
        assert record.decision == "admitted", record.why
        assert len(record.episodes) == record.planned == len(heard) == 200
        assert 0.4 <= record.success <= 0.9
        assert record.seconds <= 120.0  # as promised: 60 s for 100 episodes
        assert (record.cell, record.calibration) == (cell, CALIBRATION)
        assert verify(base, load_robot(robot)).record == record
        verdict = Validation(robot, copy(base, tmp_path / "copy"), reference=base).run(evaluator)
        assert verdict.admitted, verdict.why
        assert verdict.reference == record.made.weights_sha256


def calibrated(path: Path) -> str:
    """The file of a cell, as if the robot were found to stand where the policy was cloned."""
    scene = SceneConfig.load("ur5e_insert.yaml")
    save_cell(scene.variant("calibrated"), CALIBRATION, "ur5e_insert.yaml", path)
    return str(path)


def copy(base: Path, path: Path) -> Path:
    """The same weights in a bundle of their own."""
    good = load_bundle(base)
    save_bundle(path, good.actor, good.manifest.contract, made_by="a test", version=1,
                exploration_std=good.manifest.exploration_std)  # fmt: skip
    return path


def test_what_does_not_fit_together_is_said_before_anything_runs(tmp_path, own_base, monkeypatch):
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "key"))
    file = tmp_path / "robot.yaml"
    with pytest.raises(PorlError, match="only a comparison can admit"):
        Validation(robot_file(file, success=None), own_base)
    with pytest.raises(PorlError, match="not admitted"):
        Validation(robot_file(file), own_base, reference=own_base)
    with pytest.raises(ConfigError, match="suite has only 200 episodes"):
        Validation(robot_file(file, least=201), own_base)
    with pytest.raises(ConfigError, match="of 200 episodes, a policy that succeeds in a share of"):
        Validation(robot_file(file, margin=0.02), own_base)
    null = dict.fromkeys(
        ("interventions", "velocity", "acceleration", "contact_force", "chatter", "roughness")
    )
    with pytest.raises(ConfigError, match="nothing is left to judge a base by"):
        Validation(robot_file(file, bounds=null), own_base, as_base=True)
    assert not (tmp_path / "key").exists()  # nothing was signed


def test_what_changes_while_it_is_judged_gets_no_record(tmp_path, own_base, monkeypatch):
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "key"))
    copy = shutil.copytree(own_base, tmp_path / "policy")
    validation = Validation(robot_file(tmp_path / "robot.yaml"), copy)
    manifest = copy / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(json.dumps(json.loads(manifest.read_text())))  # other bytes, same meaning
    with pytest.raises(PorlError, match="changed while it was being judged"):
        validation._require_unchanged()
    assert not record_path(copy).exists()
    assert not (tmp_path / "key").exists()
