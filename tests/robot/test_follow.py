"""Commands of somebody else become the actions that lead to the same commands."""

import numpy as np
import pytest
from robot_samples import START, joints_at, samples

from porl_ros.robot.controller import Controller


@pytest.fixture
def follower(config) -> Controller:
    controller = Controller(config)
    controller.begin(samples(START))
    return controller


def test_following_gives_back_the_actions_that_were_sent(config, follower):
    leader, rng = Controller(config), np.random.default_rng(0)
    leader.begin(samples(START))
    for _ in range(20):
        act = leader.act(rng.uniform(-1, 1, 3).astype(np.float32))
        followed = follower.follow(act.command)
        assert np.allclose(followed.executed, act.executed, atol=1e-3)
        assert followed.unexplained < 1e-3
        assert followed.interventions == ()
        assert np.allclose(followed.command, act.command, atol=1e-12)
        seen = samples(act.command)
        theirs, ours = leader.observe(seen), follower.observe(seen)
        assert np.allclose(ours.observation, theirs.observation, atol=1e-3)


def test_where_the_lead_is_used_up_the_least_action_is_given_that_leads_there(config, follower):
    """The robot does not move, so the target runs into its lead and several actions lead there."""
    leader = Controller(config)
    leader.begin(samples(START))
    push = np.array([1.0, 0.0, 0.0], np.float32)
    pushed = []
    for _ in range(3):
        act = leader.act(push)
        pushed.append(follower.follow(act.command).executed[0])
        leader.observe(samples(START))
        follower.observe(samples(START))
    lead, scale = config.action.max_lead, config.action.scale
    assert np.allclose(pushed, [1.0, lead / scale - 1.0, 0.0], atol=1e-3)


def test_what_no_action_explains_is_said(config, follower):
    far = joints_at(follower.tool_position + [0.03, 0.0, 0.0])
    act = follower.follow(far)
    assert act.executed[0] == pytest.approx(1.0)
    # 30 mm away, of which the action explains 12 mm: 1.5 actions are missing
    assert act.unexplained == pytest.approx(0.03 / config.action.scale - 1.0, abs=1e-2)
