"""One description of the nodes for launch files and for `porl demo`."""

import pytest

from porl_ros.errors import ConfigError
from porl_ros.nodes.bringup.description import LaunchArguments, SimulationBringup, launch_arguments


def test_every_argument_is_declared_with_description_and_choices():
    declared = {a.name: a for a in launch_arguments(SimulationBringup)}
    assert set(declared) == set(SimulationBringup.model_fields)
    assert all(a.description and isinstance(a.default, str) for a in declared.values())
    assert declared["mode"].choices == ["lockstep", "paced"]
    assert declared["device"].choices == ["auto", "cpu", "cuda"]
    assert declared["learner"] == ("learner", "true", "run the fine-tuning node", ["true", "false"])
    assert declared["seed"].choices is None


def test_the_defaults_of_the_texts_are_those_of_the_model():
    texts = {a.name: a.default for a in launch_arguments(SimulationBringup)}
    assert SimulationBringup.parse(texts) == SimulationBringup()
    common = {a.name: a.default for a in launch_arguments(LaunchArguments)}
    assert LaunchArguments.parse(texts | common) == LaunchArguments()


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"mode": "fast"}, "mode = 'fast': Input should be 'lockstep' or 'paced'"),
        ({"seed": "-1"}, "seed = '-1': Input should be greater than or equal to 0"),
        ({"seed": "one"}, "seed = 'one': Input should be a valid integer"),
        ({"real_time_factor": "0"}, "real_time_factor = '0': Input should be greater than 0"),
        ({"explore": "perhaps"}, "explore = 'perhaps': Input should be a valid boolean"),
    ],
)
def test_a_wrong_argument_is_named_with_what_would_be_right(values, complaint):
    with pytest.raises(ConfigError, match="launch arguments:") as refused:
        SimulationBringup.parse(values)
    assert complaint in str(refused.value)


def test_three_nodes_with_what_each_needs():
    bringup = SimulationBringup(
        bundle="/b", store="/s", output="/o", learner_config="/l", variant="calibrated",
        mode="paced", real_time_factor=2.0, device="cpu", seed=5, explore=False,
    )  # fmt: skip
    simulation, policy, finetune = bringup.nodes()
    common = {"robot_config": "ur5e_insert", "mode": "paced", "seed": 5}
    assert [spec.executable for spec in bringup.nodes()] == [
        "simulation_node",
        "policy_node",
        "finetune_node",
    ]
    assert [spec.name for spec in bringup.nodes()] == ["simulation", "policy", "finetune"]
    assert simulation.parameters == common | {
        "variant": "calibrated", "real_time_factor": 2.0, "use_sim_time": False,
    }  # fmt: skip
    learning = common | {"use_sim_time": True, "bundle": "/b", "store": "/s", "device": "cpu"}
    assert policy.parameters == learning | {"explore": False, "learner": True}
    assert finetune.parameters == learning | {"output": "/o", "learner_config": "/l"}


def test_without_a_learner_there_is_no_fine_tuning_node_and_nobody_waits_for_it():
    simulation, policy = SimulationBringup(learner=False).nodes()
    assert not policy.parameters["learner"]
