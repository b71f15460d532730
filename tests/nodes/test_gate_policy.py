"""A policy node for a physical robot: nothing acts that the gate has not admitted."""

import json
import shutil
from pathlib import Path

import pytest
from by_hand import CLEANUP, CONFIGURE, UNCONFIGURED, Operator
from gated import admit
from running import System
from scripted_robot import scripted_robot
from std_msgs.msg import String
from test_bad_input import refusals

from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import resolve_robot_config
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "site" / "audit.jsonl"))


def physical(folder: Path, **gate: object) -> Path:
    """The shipped robot as a physical one."""
    text = resolve_robot_config("ur5e_insert").read_text()
    text = text.replace("physical: false", "physical: true", 1)
    for key, value in gate.items():
        text = text.replace("  mode: initial\n", f"  {key}: {value}\n", 1)
    path = folder / "robot.yaml"
    path.write_text(text)
    return path


def copy_of(base: Path, path: Path, version: int) -> Path:
    """The same weights as a learner's newer version."""
    bundle = load_bundle(base)
    save_bundle(
        path, bundle.actor, bundle.manifest.contract, made_by="a test", version=version,
        exploration_std=0.1, parent=bundle.manifest.weights_sha256,
    )  # fmt: skip
    return path


def events() -> list[str]:
    return [line["event"] for line in audit.read()]


def test_a_base_without_a_record_does_not_begin_to_act(tmp_path, base):
    robot = physical(tmp_path)
    (said,) = refusals(
        "policy_node", bundle=base, store=tmp_path / "store", robot_config=robot, mode="paced"
    )
    assert "not admitted: " in said
    assert "there is no record of a validation" in said
    assert not (tmp_path / "store").exists()


def test_no_parameter_gets_round_the_gate_at_run_time(tmp_path, base):
    """Refused at first; then neither `gate`, nor a robot config that is said to be a simulated one,
    nor another bundle helps: the process has been strict once, and stays so."""
    robot, bundle = physical(tmp_path), shutil.copytree(base, tmp_path / "policy")
    parameters = {"robot_config": str(robot), "bundle": str(bundle), "mode": "paced"}
    parameters |= {"store": str(tmp_path / "store"), "learner": False, "autostart": False}
    spec = NodeSpec("policy_node", "policy", parameters)
    with NodeProcesses([spec], tmp_path / "nodes") as nodes, Monitor() as monitor:
        operator = Operator(System(tmp_path, nodes, monitor))
        assert operator.change("policy", CONFIGURE) == [False]
        for name, value in (
            ("gate", "config"), ("robot_config", "ur5e_insert"), ("bundle", str(base)),
        ):  # fmt: skip
            operator.set_text("policy", name, value)
            assert operator.change("policy", CONFIGURE) == [False]
            assert operator.state("policy") == UNCONFIGURED
        with pytest.raises(AssertionError, match="gate = 'off': Input should be 'config', 'in"):
            operator.set_text("policy", "gate", "off")
        operator.set_text("policy", "gate", "config")
        operator.set_text("policy", "robot_config", str(robot))
        operator.set_text("policy", "bundle", str(bundle))
        admit(bundle, load_robot(robot), purpose="base")
        assert operator.change("policy", CONFIGURE, CLEANUP) == [True, True]
    assert events() == ["admitted policy loaded"]


def test_a_learners_bundle_acts_once_it_is_admitted(tmp_path, config, base):
    bundle = shutil.copytree(base, tmp_path / "base")
    admit(bundle, config, purpose="base")
    newer = copy_of(base, tmp_path / "000005", 5)
    with scripted_robot(tmp_path, config, bundle, gate="every", learner=True) as robot:
        heard = robot.system.nodes
        topics = {
            name: robot.node.create_publisher(String, name, messages.LATCHED_EVENTS)
            for name in ("learner/bundle", "gate/admitted")
        }
        robot.configure()
        robot.act()
        announcement = String(data=json.dumps({"path": str(newer)}))
        topics["learner/bundle"].publish(announcement)
        robot.until(lambda: "there is no record of a validation" in heard.log_tail("policy"))
        robot.act()
        assert robot.system.monitor.policy_version == 0  # the present policy goes on
        admit(newer, config)
        topics["gate/admitted"].publish(announcement)
        robot.until(lambda: robot.system.monitor.policy_version == 5)
        robot.act()
    assert events() == ["admitted policy loaded"] * 2 + ["canary begun"]


def test_an_unchecked_policy_is_said_loudly_and_written_down(tmp_path, config, base):
    robot_file = physical(tmp_path, mode="off\n  i_accept_an_unchecked_policy: true")
    with scripted_robot(tmp_path, config, base, robot_config=str(robot_file)) as robot:
        robot.configure()
        robot.act()
        assert "THE GATE IS OFF" in robot.system.nodes.log_tail("policy")
    assert events() == ["unchecked policy loaded"]
