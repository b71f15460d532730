"""A learner that is sabotaged on purpose: the robot goes back to the base by itself."""

import json

import numpy as np
import pytest
from running import read_rows, running
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.policy.guard import NoRegretGuard
from porl_ros.replay import read_store
from porl_ros.replay.tools.episodes import Episode, episodes

pytestmark = pytest.mark.slow

# The base mostly succeeds here, without noise. An actor that follows critics which never learned
# anything, in steps of this size, forgets all it knew, yet asks for nothing that looks insane.
SABOTAGE = {
    "presample_steps": 600, "total_steps": 1_000_000, "publish_every": 25,
    "warmup_mc_updates": 0, "warmup_td_updates": 0, "critic_learning_rate": 1e-9,
    "actor_learning_rate": 0.003, "anchor": 0.0, "anchor_final": 0.0, "box_penalty": 1.0,
    "recovery_steps": 100_000,
}  # fmt: skip


def stated_limit(base: list[Episode]) -> int:
    """Failures in a row after which the guard goes back, says the guard, knowing this base."""
    guard = NoRegretGuard()
    for episode in base:
        guard.observe(0, episode.success)
    guard.observe(1, False)
    return guard.failures_to_return + 1


def test_a_sabotaged_learner_does_not_keep_the_robot(tmp_path, base):
    heard = []
    extra = {"explore": False}
    with running(tmp_path, base, SABOTAGE, extra, variant="calibrated") as system:
        monitor = system.monitor
        monitor.node.create_subscription(
            String, "policy/returned", lambda m: heard.append(json.loads(m.data)), messages.LATCHED
        )
        system.wait_for(lambda: heard)
        steps = monitor.policy_steps
        system.wait_for(lambda: monitor.policy_steps > steps + 200)  # it goes on
        assert monitor.policy_version == 0
        system.wait_for(lambda: monitor.learner["env_steps"] > steps + 100)
        assert "back to policy version 0" in system.nodes.log_tail("policy")
        system.nodes.stop()

    assert (heard[0]["version"], heard[0]["returns"]) == (0, 1)
    outcomes = episodes(read_store(tmp_path / "store"))
    versions = np.array([episode.policy_version for episode in outcomes])
    bad = np.flatnonzero(versions)
    assert 0 < len(bad) <= stated_limit(outcomes[: bad[0]]) <= 25
    assert np.array_equal(bad, np.arange(bad[0], bad[-1] + 1))  # once gone, it did not come back
    assert not any(outcomes[i].success for i in bad[-5:])
    assert any(episode.success for episode in outcomes[bad[-1] + 1 :])
    assert (read_rows(tmp_path / "store")["policy_version"][-200:] == 0).all()
