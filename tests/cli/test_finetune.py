"""`porl finetune`: the learner without ROS, on other people's environments and on our robot."""

from pathlib import Path

import pytest
import yaml

from porl_ros.learning.config import PorlConfig
from porl_ros.policy.bundle import load_bundle

TINY = {
    "presample_steps": 60,
    "total_steps": 90,
    "warmup_mc_updates": 3,
    "warmup_td_updates": 3,
    "utd": 1,
    "batch_size": 16,
}


@pytest.fixture
def tiny(tmp_path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def test_a_new_policy_on_a_gymnasium_environment(porl, tmp_path, tiny):
    output = tmp_path / "run"
    options = ["--output", output, "--learner-config", tiny]
    said = porl("finetune", "--env", "Pendulum-v1", *options)
    assert said.code == 0, said
    assert f"-> {output / 'final'}" in said.out
    bundle = load_bundle(output / "final")
    assert bundle.manifest.contract == {"gymnasium": "Pendulum-v1"}
    assert (bundle.actor.observation_size, bundle.actor.action_size) == (3, 1)
    assert (bundle.manifest.version, bundle.manifest.env_steps) == (1, 90)
    assert bundle.manifest.gradient_steps == 6 + 30
    assert "there is a run already" in porl.fails("finetune", "--env", "Pendulum-v1", *options)


def test_the_clone_on_the_robot(porl, tmp_path, tiny, base, config):
    output = tmp_path / "run"
    said = porl(
        "finetune", "--env", "ur5e_insert", "--base", base, "--output", output,
        "--learner-config", tiny, "--no-presample",
    )  # fmt: skip
    assert said.code == 0, said
    bundle = load_bundle(output / "final", config)
    assert bundle.manifest.gradient_steps == 90
    assert bundle.manifest.weights_sha256 != load_bundle(base).manifest.weights_sha256


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ("Nothing-v0", "Gymnasium knows no environment 'Nothing-v0'"),
        ("CartPole-v1", "CartPole-v1: the action space is Discrete(2); a flat Box is needed"),
        ("Taxi-v4", "the observation space is Discrete(500); a flat Box is needed"),
    ],
)
def test_environments_that_cannot_be_used(porl, tmp_path, env, complaint):
    import gymnasium

    if env == "Taxi-v4" and env not in gymnasium.registry:
        pytest.skip("this Gymnasium has no Taxi-v4")
    line = porl.fails("finetune", "--env", env, "--output", tmp_path / "run")
    assert complaint in line
    assert list(tmp_path.iterdir()) == []


def test_a_cell_is_that_of_a_robot_config(porl, tmp_path):
    output = "--output", tmp_path / "run", "--variant", "moon"
    line = porl.fails("finetune", "--env", "ur5e_insert", *output)
    assert "simulation.variant = 'moon': the scene has no such cell; have calibrated" in line
    line = porl.fails("finetune", "--env", "Pendulum-v1", *output)
    assert "Pendulum-v1 is no robot config and has no cells; leave it out" in line
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_does_not_fit_the_environment(porl, tmp_path, base):
    options = ["--base", base, "--output", tmp_path / "run"]
    line = porl.fails("finetune", "--env", "Pendulum-v1", *options)
    assert f"{base}: takes 15 observations and gives 3 actions; the environment has 3 and" in line
    line = porl.fails("finetune", "--env", "Pendulum-v1", "--base", tmp_path, *options[2:])
    assert f"{tmp_path / 'manifest.json'}: cannot be read" in line


def test_settings_that_do_not_validate(porl, tmp_path, tiny):
    tiny.write_text(yaml.safe_dump(TINY | {"total_steps": 60}))
    arguments = ["--env", "Pendulum-v1", "--output", tmp_path / "run", "--learner-config", tiny]
    said = porl("finetune", *arguments)
    assert said.code == 1
    assert "total_steps (60) must be above presample_steps (60)" in said.err
    assert PorlConfig(**TINY)  # it was the one change
    assert not (tmp_path / "run").exists()
