"""What is brought up for a robot: always with a gate, in real time."""

import shutil

import pytest
from gated import admit
from running import System

from porl_ros.errors import ConfigError
from porl_ros.nodes.bringup.description import RobotBringup, ValidationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses, ProcessDied
from porl_ros.nodes.watching.monitor import Monitor


def test_a_robot_is_never_brought_up_without_asking_for_an_admission():
    (policy,) = RobotBringup(bundle="/b", store="/s").nodes()
    assert policy.parameters["gate"] == "initial"
    assert policy.parameters["mode"] == "paced"
    assert not policy.parameters["use_sim_time"]
    with pytest.raises(ConfigError, match="gate = 'off': Input should be 'initial', 'every'"):
        RobotBringup.parse({"gate": "off"})


def test_the_twin_stands_in_for_the_robot_and_nothing_else_changes():
    simulation, policy = RobotBringup(bundle="/b", store="/s", twin="twin").nodes()
    assert simulation.parameters["variant"] == "twin"
    assert simulation.parameters["real_time_factor"] == 1.0
    assert simulation.parameters["mode"] == policy.parameters["mode"] == "paced"
    (alone,) = RobotBringup(bundle="/b", store="/s").nodes()
    assert policy.parameters == alone.parameters | {"use_sim_time": True}


def test_where_every_candidate_must_be_admitted_a_gate_judges_them():
    bringup = RobotBringup(bundle="/b", store="/s", output="/o", learner=True, gate="every")
    assert [spec.name for spec in bringup.nodes()] == ["policy", "finetune", "gate"]
    assert [spec.required for spec in bringup.nodes()] == [True, False, False]
    gate = bringup.nodes()[-1]
    assert gate.parameters["reference"] == "/b"
    assert gate == ValidationBringup(reference="/b").nodes()[0]._replace(required=False)


@pytest.mark.slow
def test_the_twin_obeys_an_admitted_policy_and_no_other(tmp_path, config, base, monkeypatch):
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    bundle = shutil.copytree(base, tmp_path / "policy")
    specs = RobotBringup(bundle=str(bundle), store=str(tmp_path / "store"), twin="twin").nodes()

    def act(folder: str) -> None:
        folder = tmp_path / folder
        with NodeProcesses(specs, folder / "nodes") as nodes, Monitor() as monitor:
            System(folder, nodes, monitor).wait_for(lambda: monitor.policy_steps >= 10)

    with pytest.raises(ProcessDied, match="there is no record of a validation"):
        act("refused")
    assert not (tmp_path / "store").exists()
    admit(bundle, config)
    act("admitted")
