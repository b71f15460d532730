"""`porl validate` with a scene or a suite that cannot be used: told in a line before anything runs,
and nothing is left behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from porl_ros.paths import share_dir


@pytest.fixture
def bundle(tmp_path, base) -> Path:
    return shutil.copytree(base, tmp_path / "policy")


@pytest.fixture
def sim(tmp_path, monkeypatch) -> Path:
    """The scenes that are shipped, to be spoiled; `robot.yaml` beside the folder names one."""
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))
    shipped, share = share_dir(), tmp_path / "share"
    for folder in ("sim", "robot_configs"):
        shutil.copytree(shipped / folder, share / folder)
    for module in ("paths", "simulation.scene"):
        monkeypatch.setattr(f"porl_ros.{module}.share_dir", lambda: share)
    return share / "sim"


def change(path: Path, edit: Callable[[dict], None]) -> None:
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content))


def no_episodes(content: dict) -> None:
    content["suite"] |= {"nominal": 0, "randomised": 0}


def no_suite(content: dict) -> None:
    del content["suite"]


def other_source(content: dict) -> None:
    content["task"]["estimate_source"] = "camera"


SPOILED = {
    "the scene's file": (lambda sim: (sim / "ur5e_insert.yaml").unlink(), "no such scene; have"),
    "a model's file": (lambda sim: (sim / "ur5e_insert.xml").unlink(), "there is no file"),
    "an attachment": (lambda sim: (sim / "peg.xml").unlink(), "there is no file"),
    "no suite": (lambda sim: change(sim / "ur5e_insert.yaml", no_suite), "suite: is required"),
    "no episodes": (
        lambda sim: change(sim / "ur5e_insert.yaml", no_episodes),
        "suite: has no episodes; give nominal or randomised ones",
    ),
    "another task": (
        lambda sim: change(sim / "ur5e_insert.yaml", other_source),
        "task.estimate_source = 'camera': the robot config has no such observation source",
    ),
    "no keys": (lambda sim: (sim / "ur5e_insert.yaml").write_text("[]"), "must be a mapping of"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_it_is_told_and_nothing_is_written(porl, bundle, sim, name):
    spoil, complaint = SPOILED[name]
    spoil(sim)
    assert complaint in porl.fails("validate", bundle, "--as-base")
    assert [path.name for path in bundle.parent.glob("policy*")] == ["policy"]
    assert not (bundle.parent / "site").exists()


def test_a_policy_is_not_judged_by_no_episodes_either(porl, bundle, sim):
    change(sim / "ur5e_insert.yaml", no_episodes)
    assert "the suite has only 0 episodes; give it more" in porl.fails("validate", bundle)


def test_a_scene_of_another_robot(porl, tmp_path, bundle, sim):
    content = yaml.safe_load((sim.parent / "robot_configs" / "ur5e_insert.yaml").read_text())
    content["simulation"] = {"scene": "ur5e_lift.yaml", "variant": "nominal"}
    robot = tmp_path / "robot.yaml"
    robot.write_text(yaml.safe_dump(content))
    line = porl.fails("validate", bundle, "--robot", robot, "--as-base")
    assert "task.estimate_source = 'cube': the robot config has no such observation source" in line
