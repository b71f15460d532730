"""What is brought up for a robot: always with a gate, in real time."""

import pytest

from porl_ros.errors import ConfigError
from porl_ros.nodes.bringup import RobotBringup, ValidationBringup


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
