"""`porl check` without a graph: what is wrong with a config, and with its scene."""

import json
from pathlib import Path

import pytest
import yaml

from porl_ros.paths import resolve_robot_config


def changed(folder: Path, key: str, value: object) -> Path:
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    *parents, last = key.split(".")
    inner = content
    for part in parents:
        inner = inner[part]
    inner[last] = value
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def findings(said) -> dict[str, list[dict]]:
    found = {}
    for finding in json.loads(said.out)["findings"]:
        found.setdefault(finding["level"], []).append(finding)
    return found


@pytest.mark.parametrize("robot", ["ur5e_insert", "ur5e_lift", "franka_insert", "so101_insert"])
def test_nothing_is_wrong_with_what_is_shipped(porl, robot):
    said = porl("check", robot, "--no-live", "--episodes", 1)
    assert said.code == 0
    assert "0 errors, 0 warnings" in said.out


JOINT = "safety.joints.elbow_joint"
LIMITS = {"velocity": 1.0, "acceleration": 12.0, "deviation": 0.2}


@pytest.mark.parametrize(
    ("key", "value", "level", "subject", "text"),
    [
        ("control_rate", 33.0, "error", "config", "whole number of physics steps"),
        ("speed", 3, "error", "config", "unknown key"),
        ("kinematics.tool_site", "tip", "error", "config", "it has attachment_site"),
        (JOINT, LIMITS | {"lower": 0.5, "upper": 1.5}, "error", "kinematics.home", "1.5708 is out"),
        (JOINT, LIMITS | {"lower": 0.5, "upper": 4.0}, "error", JOINT, "beyond what the joint can"),
        (JOINT, LIMITS | {"lower": 0.5, "upper": 2.6, "deviation": 1e-5}, "error",
         f"{JOINT}.deviation", "told to stay"),
        ("safety.workspace.upper", [0.62, 0.1, 0.4], "error", "safety.workspace", "episode begins"),
        ("action.scale", 0.08, "warning", "action.scale", "the filter slows it down"),
        ("action.kind", "joint_velocity", "warning", "cell calibrated", "the scripted expert of"),
        ("episode.horizon", 3, "error", "cell calibrated", "0 of 1"),
    ],
)  # fmt: skip
def test_each_mistake_is_found_with_its_remedy(porl, tmp_path, key, value, level, subject, text):
    path = changed(tmp_path, key, value)
    said = porl("check", path, "--no-live", "--episodes", 1, "--json")
    found = findings(said)[level]
    about = [f for f in found if f["subject"].startswith(subject) and text in f["text"]]
    assert about, found
    assert about[0]["remedy"]
    assert said.code == (3 if "error" in findings(said) else 0)


def test_features_that_are_hard_to_learn_from_are_told(porl, tmp_path):
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["observation"]["features"][0]["scale"] = 2000.0
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    said = porl("check", tmp_path / "r.yaml", "--no-live", "--episodes", 0, "--json")
    (warning,) = findings(said)["warning"]
    assert warning["subject"].startswith("observation, to_socket.")
    assert (said.code, json.loads(said.out)["errors"]) == (0, 0)


def test_people_see_what_to_do(porl, tmp_path):
    said = porl("check", changed(tmp_path, "speed", 3), "--no-live")
    assert said.code == 3
    assert "unknown key" in said.out
    assert "robot_configs/ has" in said.out


def test_a_config_that_is_not_there_is_an_error(porl):
    assert "no robot config 'ur6'" in porl.fails("check", "ur6", "--no-live")
