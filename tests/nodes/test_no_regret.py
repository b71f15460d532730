"""A learner that is sabotaged on purpose: the robot goes back to the base by itself."""

import json

import numpy as np
import pytest
from running import read_rows, running
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.replay import read_store
from porl_ros.replay.episodes import episodes

pytestmark = pytest.mark.slow

# The base succeeds nearly always here; steps of this size destroy any policy.
SABOTAGE = {
    "presample_steps": 400, "total_steps": 1_000_000, "publish_every": 25,
    "actor_learning_rate": 0.5, "anchor": 0.0, "anchor_final": 0.0, "box_penalty": 0.0,
    "recovery_steps": 100_000,
}  # fmt: skip
STATED = 25  # episodes of a policy that always fails, after this many of a base like this one


def test_a_sabotaged_learner_does_not_keep_the_robot(tmp_path, base):
    heard = []
    with running(tmp_path, base, SABOTAGE, variant="calibrated") as system:
        system.monitor.node.create_subscription(
            String, "policy/returned", lambda m: heard.append(json.loads(m.data)), messages.LATCHED
        )
        system.wait_for(lambda: heard)
        steps = system.monitor.policy_steps
        system.wait_for(lambda: system.monitor.policy_steps > steps + 200)  # and goes on
        assert system.monitor.policy_version == 0
        system.wait_for(lambda: system.monitor.learner["env_steps"] > steps + 100)
        assert "back to policy version 0" in system.nodes.log_tail("policy")
        system.nodes.stop()

    assert heard[0]["version"] == 0
    assert heard[0]["returns"] == 1
    outcomes = episodes(read_store(tmp_path / "store"))
    versions = np.array([episode.policy_version for episode in outcomes])
    assert all(episode.success for episode in outcomes if episode.policy_version == 0)
    assert 0 < np.count_nonzero(versions) <= STATED
    bad = np.flatnonzero(versions)
    assert np.array_equal(bad, np.arange(bad[0], bad[-1] + 1))  # once gone, it did not come back
    rows = read_rows(tmp_path / "store")
    assert (rows["policy_version"][-200:] == 0).all()
