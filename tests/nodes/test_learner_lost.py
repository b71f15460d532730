"""The robot does not need the learner: pausing it, and killing it, leave the policy at work."""

import pytest
from by_hand import ACTIVATE, DEACTIVATE, Operator
from running import System, read_rows, running
from std_srvs.srv import Trigger

pytestmark = pytest.mark.slow

LONG = {"presample_steps": 100, "total_steps": 1_000_000, "publish_every": 25}


def call(operator: Operator, verb: str, said: str) -> None:
    answer = operator.call(Trigger, f"learner/{verb}", Trigger.Request())
    assert answer.success
    assert answer.message == said


def steps_go_on(system: System, by: int) -> None:
    goal = system.monitor.policy_steps + by
    system.wait_for(lambda: system.monitor.policy_steps >= goal)


def test_a_learner_that_is_paused_or_killed_leaves_the_robot_at_work(tmp_path, base):
    with running(tmp_path, base, LONG, finetune={"learn": False}) as system:
        monitor, operator = system.monitor, Operator(system)
        system.wait_for(lambda: monitor.learner.get("stage") == "paused" and monitor.policy_steps)
        assert monitor.learner["gradient_steps"] == 0
        call(operator, "start", "learning goes on")
        system.wait_for(lambda: (monitor.policy_version or 0) >= 2)

        call(operator, "pause", "learning is paused")
        call(operator, "pause", "learning is paused, as before")
        system.wait_for(lambda: monitor.learner["stage"] == "paused")
        before, version = monitor.learner["gradient_steps"], monitor.policy_version
        steps_go_on(system, by=300)  # six times what it could have been granted
        system.wait_for(lambda: monitor.learner["env_steps"] >= monitor.policy_steps - 60)
        assert monitor.learner["gradient_steps"] == before
        assert monitor.policy_version <= version + 1  # one may have been on its way

        call(operator, "resume", "learning goes on")
        system.wait_for(lambda: monitor.learner["gradient_steps"] > before)
        assert 3.5 < monitor.learner["utd"] <= 4.0  # what the last row earned may be due still
        system.wait_for(lambda: monitor.policy_version > version + 1)

        assert operator.change("finetune", DEACTIVATE, ACTIVATE) == [True, True]
        version = monitor.policy_version
        system.wait_for(lambda: monitor.policy_version > version + 2)

        system.nodes.kill("finetune")
        monitor.spin(0.5)  # what it had sent still arrives
        bundles = set((tmp_path / "learner" / "bundles").iterdir())
        steps_go_on(system, by=300)
        version = monitor.policy_version
        steps_go_on(system, by=100)
        assert monitor.policy_version == version
        assert "no word from the learner: going on without it" in system.nodes.log_tail("policy")
        assert set((tmp_path / "learner" / "bundles").iterdir()) == bundles
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
    versions = read_rows(tmp_path / "store")["policy_version"]
    assert versions[-1] == version
    assert len(versions) >= 800
