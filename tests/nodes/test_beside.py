"""What launch files run beside the nodes: a recorder and a bridge, where they are installed."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from porl_ros.nodes.bringup.beside import BRIDGE, RECORDER, Missing, programs, recorded
from porl_ros.nodes.bringup.description import LaunchArguments, SimulationBringup
from porl_ros.nodes.bringup.several import MultiBringup

ACCESS = Path(__file__).parents[2] / "launch" / "sros2_policy.xml"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes packages known, as their installation does: by a marker in the ament index."""
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    return lambda *names: [(index / name).touch() for name in names]


def test_all_that_our_nodes_say_is_recorded():
    expression = recorded(LaunchArguments(), SimulationBringup().nodes())
    said = ElementTree.parse(ACCESS).iterfind(".//topics[@publish='ALLOW']/topic")
    topics = {f"/{topic.text.lstrip('/').replace('*', 'any')}" for topic in said}
    topics = {topic for topic in topics if "~" not in topic} - {"/parameter_events"}
    assert topics > {"/policy/state", "/learner/metrics/any", "/joint_states", "/stop"}
    assert {topic for topic in topics if not re.search(expression, topic)} == set()


def test_of_robots_in_their_namespaces_and_of_nobody_else():
    expression = recorded(LaunchArguments(namespace="cell"), MultiBringup(twin="twin").nodes())
    for topic in ("arm1/joint_states", "arm2/policy/state", "learner/status", "arm1/clock"):
        assert re.search(expression, f"/cell/{topic}")
    assert re.search(expression, "/diagnostics")
    for topic in ("/cell/arm1/camera/image", "/cell/arm3/joint_states", "/joint_states"):
        assert not re.search(expression, topic)


def test_what_is_not_asked_for_need_not_be_there(installed):
    assert list(programs(LaunchArguments(), SimulationBringup().nodes())) == []


@pytest.mark.parametrize("asked", ["record", "foxglove"])
def test_what_is_missing_is_named_with_its_remedy(installed, monkeypatch, asked):
    common, specs = LaunchArguments(**{asked: True}), SimulationBringup().nodes()
    package = {"record": RECORDER, "foxglove": (BRIDGE,)}[asked][-1]
    installed("ros2bag")
    remedy = f"{asked}:=true: the package {package} is not here; sudo apt install ros-kilted-"
    with pytest.raises(Missing, match=remedy + package.replace("_", "-")):
        list(programs(common, specs))
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    with pytest.raises(Missing):
        list(programs(common, specs))


def test_the_commands_of_what_is_there(installed):
    installed(*RECORDER, BRIDGE)
    common = LaunchArguments(record=True, record_folder="/r", foxglove=True, foxglove_port=9000)
    specs = SimulationBringup().nodes()
    record, bridge = programs(common, specs)
    assert record[:5] == ["ros2", "bag", "record", "--storage", "mcap"]
    assert Path(record[record.index("--output") + 1]).parent == Path("/r")
    assert record[-2:] == ["--regex", recorded(common, specs)]
    assert bridge == [
        "ros2", "run", "foxglove_bridge", "foxglove_bridge", "--ros-args", "-p", "port:=9000",
    ]  # fmt: skip
