"""A policy that is too slow, really: its networks are large. The deadline lies far from both."""

import json
from pathlib import Path

import pytest
from running import read_rows
from scripted_robot import ScriptedRobot, scripted_robot
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.replay import Actor as Who

pytestmark = pytest.mark.slow

DEADLINE = 0.02  # control periods: 2 ms
SLOW = (8192, 4096)  # 134 MB to read for an action: no memory does it in 2 ms


class Policies:
    """Publishes bundles, as a learner does."""

    def __init__(self, robot: ScriptedRobot, folder: Path, base: Path):
        self._robot, self._folder = robot, folder
        self._fast = load_bundle(base, robot.config).actor
        observation = load_bundle(base).manifest.observation_size
        self._slow = Actor(observation, load_bundle(base).manifest.action_size, hidden=SLOW)
        self.version = 0
        self._topic = robot.node.create_publisher(String, "learner/bundle", messages.LATCHED)

    def offer(self, slow: bool) -> int:
        self.version += 1
        path = self._folder / f"{self.version:06d}"
        actor, contract = self._slow if slow else self._fast, self._robot.config.contract
        save_bundle(
            path, actor, contract, made_by="test", version=self.version, exploration_std=0.1,
            returns={self._robot.config.name: 9},
        )  # fmt: skip
        self._topic.publish(String(data=json.dumps({"path": str(path)})))
        return self.version


def test_inference_over_its_deadline(tmp_path, config, base):
    parameters = {"learner": True, "inference_deadline": DEADLINE}
    with scripted_robot(tmp_path, config, base, **parameters) as robot:
        policies, name = Policies(robot, tmp_path, base), "watchdog.slow_inference"

        robot.configure(**{name: "base"})
        robot.act()
        policies.offer(slow=True)
        robot.until(lambda: robot.system.monitor.policy_version == 1, "slow policy acts")
        robot.until(lambda: robot.system.monitor.policy_version == 0, "back to the base")
        robot.act()
        assert "back to policy version 0: the policy took" in robot.system.nodes.log_tail("policy")

        held = see(robot, policies, "hold", "holding")
        robot.until(lambda: robot.standing, "stands")
        went_on = see(robot, policies, "continue", "acting")
        robot.until(lambda: not robot.standing, "moves")
        resets = robot.resets
        see(robot, policies, "ramp_down", "holding")
        assert robot.resets > resets
        see(robot, policies, "stop", "stopped")
        policies.offer(slow=False)
        robot.trigger("reset_stop")
        robot.act()
        assert robot.system.nodes.stop() == {"policy": 0}
    rows = read_rows(tmp_path / "store")
    assert set(rows["actor"][rows["policy_version"] == held]) == {Who.SAFETY}
    assert Who.POLICY in rows["actor"][rows["policy_version"] == went_on]


def see(robot: ScriptedRobot, policies: Policies, reaction: str, state: str) -> int:
    """A quick policy gives way to a slow one; its version."""
    fast = policies.offer(slow=False)  # before: the last that was offered acts after configure
    robot.until(lambda: robot.system.monitor.policy_version == fast, "the quick one acts")
    robot.configure(**{"watchdog.slow_inference": reaction})
    robot.act()
    version, states = policies.offer(slow=True), len(robot.states)
    reason = "stop" if state == "stopped" else "slow_inference"
    robot.until(lambda: robot.said(state, reason, since=states), reaction)
    if reaction in ("hold", "continue"):  # commands go on, and are recorded
        goal = len(robot.commands) + 4
        robot.until(lambda: len(robot.commands) >= goal, reaction)
    return version
