"""The suite: randomised cells that depend on the seed and what they are drawn around alone."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.paths import share_dir
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite
from porl_ros.simulation.variant import Variant

SCENES = ["ur5e_insert.yaml", "ur5e_lift.yaml", "ur5e_pick_place.yaml"]
CENTRE = Variant(
    friction=0.4, damping=1.1, payload=0.2, latency=0.02, estimate_offset=(0.01, 0.0, -0.01),
    estimate_noise=0.002, joint_noise=0.0003, dropped=0.1, spread=0.9,
)  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
def test_draws_stay_in_their_ranges_and_fill_them(scene):
    suite = Suite.load(scene)
    drawn = [suite.draw(seed, CENTRE) for seed in range(400)]
    for field in ("friction", "damping", "spread"):
        check([getattr(v, field) / getattr(CENTRE, field) for v in drawn], *getattr(suite, field))
    for field in ("payload", "latency", "estimate_noise", "joint_noise", "dropped"):
        check([getattr(v, field) - getattr(CENTRE, field) for v in drawn], *getattr(suite, field))
    offsets = np.array([v.estimate_offset for v in drawn]) - CENTRE.estimate_offset
    for axis, half in enumerate(suite.estimate_offset):
        check(offsets[:, axis], -half, half)


def check(values, low: float, high: float) -> None:
    assert low < high
    assert low - 1e-12 <= min(values) < low + 0.05 * (high - low)
    assert high - 0.05 * (high - low) < max(values) <= high + 1e-12


def test_a_draw_depends_on_the_seed_and_the_centre_only():
    suite, again = Suite.load(SCENES[0]), Suite.load(SCENES[0])
    assert suite.draw(7, CENTRE) == again.draw(7, CENTRE)
    assert suite.draw(8, CENTRE) != suite.draw(7, CENTRE)
    assert suite.draw(7, Variant(friction=0.3)).estimate_offset != suite.draw(7, CENTRE)
    assert suite.hash == again.hash
    assert suite.model_copy(update={"nominal": 51}).hash != suite.hash


def test_what_would_be_under_zero_is_zero():
    suite = Suite(nominal=0, randomised=1, latency=(-0.5, -0.4), dropped=(0.5, 0.9))
    drawn = suite.draw(0, CENTRE)
    assert drawn.latency == 0.0
    assert drawn.dropped < 1.0
    assert drawn.model_copy(update={"latency": 0.02, "dropped": 0.1}) == CENTRE


@pytest.mark.parametrize(
    ("robot", "home"),
    [("ur5e_insert", "calibrated"), ("ur5e_lift", "nominal"), ("ur5e_pick_place", "nominal")],
)
def test_the_twin_is_beyond_what_the_suite_draws(robot, home):
    scene = SceneConfig.load(load_robot(robot).simulation.scene)
    twin, suite = scene.variant("twin"), scene.suite
    drawn = [suite.draw(seed, scene.variant(home)) for seed in range(300)]
    for field in ("damping", "payload", "latency"):
        assert getattr(twin, field) > max(getattr(v, field) for v in drawn)
    SimulatedRobot(load_robot(robot), "twin").reset(0)


WRONG = [
    ({"friction": [1.2, 0.8]}, "suite.friction", "swap them"),
    ({"damping": [0.0, 1.0]}, "suite.damping", "must be over 0"),
    ({"dropped": [0.0, 1.0]}, "suite.dropped", "must be under 1"),
    ({"estimate_offset": [0.001, -0.001, 0]}, "suite.estimate_offset[1]", "greater than or equal"),
    ({"latency": [0.0, float("nan")]}, "suite.latency[1]", "finite"),
    ({"nominal": -1}, "suite.nominal", "greater than or equal to 0"),
    ({"randomised": None}, "suite.randomised", "valid integer"),
    ({"stiffness": [0.9, 1.1]}, "suite.stiffness", "unknown key"),
    ({"dampin": [0.9, 1.1]}, "suite.dampin", "did you mean 'damping'?"),
]


def scene_content() -> dict:
    return yaml.safe_load((share_dir() / "sim" / SCENES[0]).read_text())


@pytest.mark.parametrize(("change", "named", "remedy"), WRONG)
def test_a_wrong_range_is_told(change, named, remedy):
    content = scene_content()
    content["suite"] |= change
    with pytest.raises(ConfigError) as caught:
        parse(SceneConfig, content, "scene")
    assert named in str(caught.value)
    assert remedy in str(caught.value)


def test_a_range_of_what_the_scene_does_not_have_is_told():
    content = scene_content()
    del content["variants"]["shifted"]["friction"]
    with pytest.raises(ConfigError, match="variants.shifted has no friction; give it one"):
        parse(SceneConfig, content, "scene")
    with pytest.raises(ConfigError, match="the cell has no friction; give it one"):
        Suite.load(SCENES[0]).draw(0, Variant())


def test_a_scene_without_a_suite_is_told(tmp_path: Path, monkeypatch):
    content = scene_content()
    del content["suite"]
    (tmp_path / "sim").mkdir()
    (tmp_path / "sim" / "bare.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setattr("porl_ros.simulation.scene.share_dir", lambda: tmp_path)
    with pytest.raises(ConfigError, match=r"bare.yaml: suite: is required"):
        Suite.load("bare.yaml")


def test_a_cell_may_come_from_a_file(tmp_path, config):
    path = tmp_path / "cell.yaml"
    cell = {"scene": "ur5e_insert.yaml", "variant": {"latency": 0.03}}
    path.write_text(yaml.safe_dump(cell))
    assert SimulatedRobot(config, str(path)).variant == Variant(latency=0.03)
    with pytest.raises(ConfigError, match=r"cell.yaml: scene = 'ur5e_insert.yaml': is a cell of"):
        SimulatedRobot(load_robot("ur5e_lift"), str(path))
    path.write_text(yaml.safe_dump(cell | {"variant": {"latency": -1}}))
    with pytest.raises(ConfigError, match=r"cell.yaml:\n  variant.latency = -1"):
        SimulatedRobot(config, str(path))
    with pytest.raises(ConfigError, match="nowhere.yaml: cannot be read"):
        SimulatedRobot(config, "nowhere.yaml")
