"""The launch file, where launch is installed; elsewhere these tests are skipped, visibly."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 distribution only")

from launch.actions import DeclareLaunchArgument  # noqa: E402

from launch import LaunchContext  # noqa: E402
from porl_ros.errors import ConfigError  # noqa: E402
from porl_ros.nodes.bringup.description import (  # noqa: E402
    LaunchArguments,
    SimulationBringup,
    launch_arguments,
)

FILE = Path(__file__).parents[2] / "launch" / "simulation.launch.py"


@pytest.fixture
def entities() -> list:
    """What the launch file describes."""
    spec = importlib.util.spec_from_file_location("simulation_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description().entities


def nodes_of(entities: list, **values: str) -> list:
    """The nodes that come up with these arguments."""
    context = LaunchContext()
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            default = "".join(part.perform(context) for part in entity.default_value)
            context.launch_configurations[entity.name] = values.get(entity.name, default)
    return entities[-1].execute(context)


def test_every_argument_is_declared_with_description_and_choices(entities):
    declared = {e.name: e for e in entities if isinstance(e, DeclareLaunchArgument)}
    expected = launch_arguments(SimulationBringup) + launch_arguments(LaunchArguments)
    assert set(declared) == {argument.name for argument in expected}
    wanted = {"namespace", "use_sim_time", "robot_config", "params_file", "log_level", "device"}
    assert wanted <= set(declared)
    for argument in expected:
        assert declared[argument.name].description.startswith(argument.description)
        assert declared[argument.name].choices == argument.choices


def test_the_same_nodes_as_the_demo_brings_up(entities):
    nodes = nodes_of(entities)
    assert [node.node_executable for node in nodes] == [
        spec.executable for spec in SimulationBringup().nodes()
    ]
    assert {node.node_package for node in nodes} == {"porl_ros"}
    assert len(nodes_of(entities, learner="false")) == 2


def test_a_wrong_argument_is_named(entities):
    with pytest.raises(ConfigError, match="seed = 'one'"):
        nodes_of(entities, seed="one")
