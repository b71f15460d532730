"""`porl rollout`: what is wrong is told before a node is started."""

import yaml

from porl_ros.paths import resolve_robot_config


def test_mistakes_are_told(porl, tmp_path, base):
    (tmp_path / "kept" / "store").mkdir(parents=True)
    line = porl.fails("rollout", base, "--output", tmp_path / "kept")
    assert "there is a run already and nothing is overwritten" in line
    assert "there is no policy bundle here" in porl.fails("rollout", tmp_path / "nowhere")
    assert "made for another contract" in porl.fails("rollout", base, "--robot", "ur5e_lift")
    assert porl("rollout", base, "--episodes", 0).code == 2
    assert porl("rollout", base, "--success", 1.1).code == 2


def test_a_rule_without_a_success_leaves_that_to_be_said(porl, tmp_path, base):
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["gate"]["rule"]["success"] = None
    robot = tmp_path / "robot.yaml"
    robot.write_text(yaml.safe_dump(content))
    line = porl.fails("rollout", base, "--robot", robot)
    assert "gate.rule.success = null: says nothing of how good is enough; say it with" in line
