"""The shipped contract loads, is immutable, and its hash changes with what it covers."""

import pydantic
import pytest
from robot_files import edited

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.contract import contract_hash, first_difference

COVERED = [
    ("control_rate", 20.0, "control_rate: here 10.0, there 20.0"),
    ("kinematics.tool_offset", [0.0, 0.0, 0.1], "kinematics.tool_offset[2]: here 0.108, there 0.1"),
    ("observation.features.0.scale", 21.0, "observation.features[0].scale: here 20.0, there 21.0"),
    ("observation.sources.0.max_age", 0.2, "observation.sources[0].max_age"),
    ("action.scale", 0.01, "action.scale: here 0.012, there 0.01"),
    ("action.command.type", "trajectory_msgs/msg/JointTrajectory", "action.command.type: here"),
    ("safety.joints.elbow_joint.velocity", 1.1, "safety.joints.elbow_joint.velocity: here 1.0"),
    ("safety.workspace.lower", [0.35, 0.0, 0.02], "safety.workspace.lower[0]: here 0.36"),
    ("episode.horizon", 61, "episode.horizon: here 60, there 61"),
    ("episode.success.depth", 0.02, "episode.success.depth: here 0.03, there 0.02"),
]


@pytest.mark.parametrize(("key", "value", "difference"), COVERED)
def test_the_hash_covers(config, key, value, difference):
    other = RobotConfig.model_validate(edited(key, value))
    assert other.contract_hash != config.contract_hash
    assert first_difference(config.contract, other.contract).startswith(difference)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "another"),
        ("simulation.variant", "calibrated"),
        ("reward", {"source": "operator"}),
        ("reset.then", "operator"),
        ("gate.rule.success", 0.5),
        ("gate.mode", "every"),
    ],
)
def test_the_hash_leaves_out(config, key, value):
    other = RobotConfig.model_validate(edited(key, value))
    assert other.contract_hash == config.contract_hash
    assert first_difference(config.contract, other.contract) == ""


def test_first_difference_names_what_one_side_lacks():
    assert first_difference({"a": None}, {}) == "a: here None, there no such key"
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == "a: here [1], there [1, 2]"
    assert first_difference({"b": {"c": 1}}, {"b": {"c": 1}}) == ""


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert contract_hash({"a": 1, "b": 2}) == contract_hash({"b": 2, "a": 1})


def test_the_shipped_robot(config):
    assert config.name == "ur5e_insert"
    assert config.period_ns == 100_000_000
    assert config.command_joints == config.kinematics.joints
    assert len(config.contract_hash) == 64


def test_a_contract_cannot_be_changed(config):
    with pytest.raises(pydantic.ValidationError):
        config.control_rate = 5.0
