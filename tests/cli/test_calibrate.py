"""`porl calibrate`: a table, a file that other commands take, and what is wrong in a sentence."""

import json
from pathlib import Path

import pytest
import yaml
from PIL import Image
from twin_episodes import record

from porl_ros.replay import ReplayWriter, robot_schema
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.scene import SceneConfig


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lifting") / "store"
    record(load_robot("ur5e_lift"), path, episodes=4, steps=10)
    return path


def test_a_cell_comes_out_with_what_is_known_of_it(porl, store, tmp_path):
    cell, picture = tmp_path / "cell.yaml", tmp_path / "cell.png"
    command = "calibrate", store, "--robot", "ur5e_lift", "--variant", "nominal", "--output", cell
    said = porl(*command, "--plot", picture)
    assert said.code == 0, said
    for part in ("damping", "latency", "payload", "95 % interval", "4 episodes", "mm in 'nominal'"):
        assert part in said.out
    assert "cannot be told, and stays as it was: estimate_offset.x" in said.out
    assert Image.open(picture).size[0] > 300
    written = yaml.safe_load(cell.read_text())
    assert written["calibration"]["start"] == "nominal"
    assert written["calibration"]["residual_after"] < written["calibration"]["residual_before"] / 5
    robot = load_robot("ur5e_lift")
    twin, found = (SimulatedRobot(robot, name).variant for name in ("twin", str(cell)))
    assert abs(found.latency - twin.latency) < 0.005
    assert found.friction == 0.8  # of the cell that it began at
    calibration = SceneConfig.load("ur5e_lift.yaml").calibration(str(cell))
    assert calibration.fit in said.out.replace("\n", " ")
    assert "is there already and nothing is overwritten" in porl.fails(*command)


def test_json_is_the_cell(porl, store, tmp_path):
    cell = tmp_path / "cell.yaml"
    command = "calibrate", store, "--robot", "ur5e_lift", "--output", cell, "--json"
    assert json.loads(porl(*command).out) == yaml.safe_load(cell.read_text())


def test_what_is_wrong_is_told(porl, store, tmp_path, config):
    cell = "--output", tmp_path / "cell.yaml"
    with ReplayWriter(tmp_path / "empty", robot_schema(config), "arm"):
        pass
    empty = porl.fails("calibrate", tmp_path / "empty", *cell)
    assert "no episode that can be replayed (no rows at all); record" in empty
    assert "contract" in porl.fails("calibrate", store, *cell)  # the lifting robot's
    assert "no such cell; have nominal" in porl.fails(
        "calibrate", store, "--robot", "ur5e_lift", "--variant", "moon", *cell
    )
    few = tmp_path / "few"
    record(load_robot("ur5e_lift"), few, episodes=2, steps=12)
    assert "2 of 2 episodes" in porl.fails("calibrate", few, "--robot", "ur5e_lift", *cell)
    nowhere = porl.fails("calibrate", tmp_path / "nowhere", *cell)
    assert "nowhere" in nowhere
    assert porl("calibrate", *cell).code == 2
    assert not (tmp_path / "cell.yaml").exists()
