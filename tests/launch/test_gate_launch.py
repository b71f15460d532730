"""The launch files of a robot and of its gate, where launch is installed."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 distribution only")

from launch.actions import DeclareLaunchArgument  # noqa: E402

from launch import LaunchContext  # noqa: E402
from porl_ros.nodes.bringup.description import (  # noqa: E402
    LaunchArguments,
    RobotBringup,
    ValidationBringup,
    launch_arguments,
)
from porl_ros.nodes.bringup.several import MultiBringup  # noqa: E402

FOLDER = Path(__file__).parents[2] / "launch"


def entities_of(name: str) -> list:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def executables(entities: list, **values: str) -> list[str]:
    context = LaunchContext()
    for entity in entities[:-1]:
        default = "".join(part.perform(context) for part in entity.default_value)
        context.launch_configurations[entity.name] = values.get(entity.name, default)
    return [node.node_executable for node in entities[-1].execute(context)]


@pytest.mark.parametrize(
    ("name", "bringup"),
    [("robot", RobotBringup), ("validate", ValidationBringup), ("bringup_multi", MultiBringup)],
)
def test_every_argument_is_declared(name, bringup):
    declared = {e.name: e for e in entities_of(name) if isinstance(e, DeclareLaunchArgument)}
    expected = launch_arguments(bringup) + launch_arguments(LaunchArguments)
    assert set(declared) == {argument.name for argument in expected}
    for argument in expected:
        assert declared[argument.name].choices == argument.choices


def test_what_comes_up():
    robot = entities_of("robot")
    assert executables(robot) == ["policy_node"]
    assert executables(robot, twin="twin") == ["simulation_node", "policy_node"]
    everything = executables(robot, learner="true", gate="every")
    assert everything == ["policy_node", "finetune_node", "gate_node"]
    assert executables(entities_of("validate")) == ["gate_node"]


def test_robots_in_their_namespaces():
    nodes = executables(entities_of("bringup_multi"), robots="a,b", twin="twin")
    robot = ["simulation_node", "policy_node"]
    assert nodes == [*robot, *robot, "finetune_node"]
