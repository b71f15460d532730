"""Policies change while the robot moves: through the running node, by its topics.

PORL_SWAPS=1000 pytest tests/nodes/test_swaps.py     # the long form
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from running import read_rows
from scripted_robot import TICK, ScriptedRobot, scripted_robot
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.policy.bundle import load_bundle, save_bundle

pytestmark = pytest.mark.slow

SWAPS = int(os.environ.get("PORL_SWAPS", "25"))


class Learner:
    """Publishes bundles; the robot is told of each."""

    def __init__(self, robot: ScriptedRobot, folder: Path, base: Path):
        self._robot, self._folder, self._base = robot, folder, base
        self.version = 0
        self._topic = robot.node.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)

    def offer(self, bias: float = 0.0) -> int:
        """The base, all of whose actions are shifted."""
        self.version += 1
        actor, config = load_bundle(self._base).actor, self._robot.config
        with torch.no_grad():
            actor.layers[-1].bias += bias
        path = self._folder / f"{self.version:06d}"
        fields = {"version": self.version, "exploration_std": 0.1}
        save_bundle(path, actor, config.contract, made_by="test", **fields)
        self._topic.publish(String(data=json.dumps({"path": str(path)})))
        return self.version


def test_hot_swaps_and_what_is_not_let_act(tmp_path, config, base):
    with scripted_robot(tmp_path, config, base, learner=True) as robot:
        learner, monitor = Learner(robot, tmp_path / "bundles", base), robot.system.monitor
        robot.configure()
        robot.act()
        acted, periods = len(robot.commands), 0
        for _ in range(SWAPS):
            version = learner.offer()
            while monitor.policy_version != version:
                for _ in range(config.period_ns // TICK):  # a period: a command, swap or not
                    robot.pass_time(TICK)
                    robot.sync()  # this clock would run ahead of a process that reads a file
                periods += 1
                assert periods < 100 * SWAPS
        robot.spin()
        assert len(robot.commands) - acted >= periods - 1  # and some while episodes begin

        insane = learner.offer(bias=100.0)
        log = robot.system.nodes.log_path("policy")
        refusal = f"{insane:06d}: refused before it may act: it asks for "
        robot.until(lambda: refusal in log.read_text(), "refused")
        robot.act(5)
        assert monitor.policy_version == version
        sane = learner.offer()
        robot.until(lambda: monitor.policy_version == sane, "the next one acts")
        robot.act()
        assert robot.system.nodes.stop() == {"policy": 0}
    rows = read_rows(tmp_path / "store")
    versions = rows["policy_version"]
    within = np.diff(rows["episode"]) == 0
    # A step has the stamp of its newest sample, a message (20 ms) early or late. Had a tick been
    # missed, the next step would be two periods away.
    assert np.diff(rows["stamp"])[within].max() < 1.5 * config.period_ns
    assert (np.diff(versions) >= 0).all()
    assert insane not in versions
    assert len(set(versions)) > 0.5 * SWAPS
