"""What is wrong is told in a sentence with the remedy, the exit code is 1, nothing is touched."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from std_msgs.msg import Float64MultiArray

from porl_ros.nodes import messages
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import resolve_robot_config
from porl_ros.replay import ReplaySchema, ReplayWriter

pytestmark = pytest.mark.slow

READERS = "policy_node", "finetune_node"  # both read the bundle and the store


def start(node: str, **parameters: object) -> subprocess.Popen:
    """The process that a launch file would start."""
    command = [sys.executable, "-m", f"porl_ros.nodes.{node}", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def refusals(*nodes: str, **parameters: object) -> list[str]:
    """What nodes say, started side by side, that have to refuse their parameters."""
    children = [start(node, **parameters) for node in nodes]
    try:
        said = [child.communicate(timeout=100)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [1] * len(nodes), said
    assert not any("Traceback" in text for text in said)
    return said


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def copy(tmp_path, base) -> Path:
    """A bundle that may be damaged."""
    return shutil.copytree(base, tmp_path / "copy")


@pytest.fixture
def robot_file(tmp_path) -> Callable[..., Path]:
    """Writes the shipped robot config with other values on its top level."""

    def write(**changes: object) -> Path:
        content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text()) | changes
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def foreign_store(tmp_path, config) -> Path:
    """A store with the right columns of another contract."""
    schema = ReplaySchema(
        contract_hash="0" * 64,
        observation_names=tuple(f"o{i}" for i in range(15)),
        action_names=("x", "y", "z"),
    )
    with ReplayWriter(tmp_path / "foreign", schema, config.name) as writer:
        writer.log(
            observation=np.zeros(15), action=np.zeros(3), requested_action=np.zeros(3),
            reward=0.0, terminated=False, truncated=False, actor=0, policy_version=0,
            episode=0, step=0, stamp=1,
        )  # fmt: skip
    return tmp_path / "foreign"


def test_a_missing_bundle(tmp_path):
    places = {"store": tmp_path / "store", "output": tmp_path / "output"}
    said = refusals(*READERS, bundle=tmp_path / "nowhere", **places)
    assert all(f"{tmp_path / 'nowhere'}: there is no policy bundle here" in text for text in said)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_with_a_flipped_byte(tmp_path, copy):
    weights = copy / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-100] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(damaged)
    before = contents(tmp_path)
    said = refusals(*READERS, bundle=copy, store=tmp_path / "store", output=tmp_path / "output")
    assert all(f"{weights}: does not match its hash in the manifest" in text for text in said)
    assert contents(tmp_path) == before


def test_a_bundle_of_another_contract(tmp_path, base, robot_file):
    robot = robot_file(control_rate=20.0)
    before = contents(base)
    places = {"store": tmp_path / "store", "output": tmp_path / "output"}
    said = refusals(*READERS, bundle=base, robot_config=robot, **places)
    complaint = "this policy was made for another contract than robot config 'ur5e_insert'; "
    complaint += "the first difference is at control_rate: here 20.0, there 10.0"
    assert all(complaint in text for text in said)
    assert not (tmp_path / "store").exists()
    assert contents(base) == before


def test_a_store_of_another_contract(tmp_path, base, foreign_store):
    before = contents(foreign_store)
    said = refusals(*READERS, bundle=base, store=foreign_store, output=tmp_path / "output")
    for text in said:
        assert f"contract_hash: the store {foreign_store} was recorded with" in text
        assert "name another store folder" in text
    assert contents(foreign_store) == before


def test_a_robot_config_that_does_not_validate(base, tmp_path, robot_file):
    robot = robot_file(control_rate=-10.0)
    places = {"store": tmp_path / "store", "output": tmp_path / "output"}
    for text in refusals(*READERS, "simulation_node", robot_config=robot, bundle=base, **places):
        assert f"{robot}:" in text
        assert "control_rate = -10.0: Input should be greater than 0" in text
    assert [path.name for path in tmp_path.iterdir()] == ["robot.yaml"]


def test_a_learner_config_with_an_unknown_key(base, tmp_path):
    learner = tmp_path / "learner.yaml"
    learner.write_text("presample_step: 10\n")
    places = {"store": tmp_path / "store", "output": tmp_path / "output"}
    (said,) = refusals("finetune_node", bundle=base, learner_config=learner, **places)
    assert "presample_step = 10: unknown key; did you mean 'presample_steps'?" in said
    assert list(tmp_path.iterdir()) == [learner]


def test_a_command_of_another_size_ends_the_simulation(config):
    child = start("simulation_node")
    try:
        with Monitor() as monitor:
            topic = config.action.command.topic
            publisher = monitor.node.create_publisher(Float64MultiArray, topic, messages.COMMAND)
            assert monitor.wait_for(publisher.get_subscription_count, 100.0)
            publisher.publish(Float64MultiArray(data=[0.0] * 5))
            assert monitor.wait_for(lambda: child.poll() is not None, 60.0)
        said = child.communicate()[0]
    finally:
        child.kill()
    assert child.returncode == 1
    assert f"{topic}: 5 values for 6 joints (shoulder_pan_joint" in said
    assert "the sender uses another robot config, or another node publishes here" in said


@pytest.mark.parametrize("polite", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_is_told_to_end_leaves_with_0(polite):
    child = start("simulation_node", mode="paced")
    try:
        for line in child.stdout:
            if "paced simulation of ur5e_insert is up" in line:
                break
        os.kill(child.pid, polite)
        assert child.wait(60) == 0
        assert "Traceback" not in child.stdout.read()
    finally:
        child.kill()
