"""The parameters as files and as the reference: true to the models, and read by ROS."""

from pathlib import Path

import pytest
import rclpy

from porl_ros.cli.params import as_markdown, as_yaml
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.settings import SETTINGS, NodeSettings

ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date():
    assert (ROOT / "docs" / "parameters.md").read_text() == as_markdown()


@pytest.mark.parametrize("node", SETTINGS)
def test_the_files_are_up_to_date(node):
    assert (ROOT / "launch" / "params" / f"{node}.yaml").read_text() == as_yaml(node)


@pytest.mark.parametrize("node", SETTINGS)
def test_what_may_change_is_there(node):
    names = {line.split(":")[0].strip(" #") for line in as_yaml(node).splitlines()}
    kind = SETTINGS[node]
    assert kind.live | kind.read_only | kind.routine <= names


@pytest.mark.parametrize("node", SETTINGS)
@pytest.mark.parametrize("namespace", ["/", "/cell/arm1"])
def test_a_node_reads_its_file(tmp_path, node, namespace):
    kind, file = SETTINGS[node], tmp_path / "file.yaml"
    text = as_yaml(node)
    assert '# robot_config: "ur5e_insert"' in text  # a launch file says which
    file.write_text(text.replace('# robot_config: "ur5e_insert"', 'robot_config: "mine"'))

    class Reader(PorlNode):
        def defaults(self) -> NodeSettings:
            return kind(robot_config="nobody's")

    rclpy.init(args=["--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(file)])
    try:
        reader = Reader(node)
        assert reader._given.begin() == kind(robot_config="mine")
        reader.destroy_node()
    finally:
        rclpy.shutdown()


def test_what_is_printed_is_the_file(porl):
    said = porl("params", "policy")
    assert (said.code, said.out) == (0, as_yaml("policy"))


def test_an_unknown_node_is_told(porl):
    said = porl("params", "arm")
    assert said.code == 2
    assert "must be policy, finetune, gate, simulation" in said.err.replace("\n", " ")
