"""From action to command: what is sent, what counts as executed, and when an episode ends."""

import numpy as np
import pytest
from robot_files import make_robot
from robot_samples import START, TOOL, joints_at, samples

from porl_ros.robot.controller import Controller
from porl_ros.robot.loading import load_robot

ARM = load_robot("ur5e_insert").command_joints
ELBOW = float(START[2])
PUSH = np.array([1.0, 0.0, 0.0], np.float32)


def begun(robot, joints=None) -> Controller:
    controller = Controller(robot)
    controller.begin(samples(START if joints is None else joints))
    return controller


def limited(**elbow: float) -> Controller:
    """At home, with other limits of the elbow."""
    joints = {
        name: limit.model_dump() for name, limit in load_robot("ur5e_insert").safety.joints.items()
    }
    joints["elbow_joint"] |= elbow
    return begun(make_robot(safety={"joints": joints}))


def test_what_nobody_touched_was_executed_as_requested(config):
    controller, rng = begun(config), np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        act = controller.act(action)
        assert act.interventions == ()
        assert np.array_equal(act.executed, action)
        assert np.array_equal(act.requested, action)
        controller.observe(samples(act.command))


def test_a_step_moves_the_tool_by_scale(config):
    controller = begun(config)
    act = controller.act(PUSH)
    moved = controller.kinematics.tool_position(act.command) - TOOL
    assert np.allclose(moved, [0.012, 0.0, 0.0], atol=1e-5)


@pytest.mark.parametrize(
    ("elbow", "action", "limit"),
    [
        ({"velocity": 0.05}, [1.0, 0.5, -0.5], "velocity"),
        ({"upper": ELBOW + 0.005}, [-1.0, 0.0, 0.0], "position"),
    ],
)
def test_the_executed_action_explains_what_a_limit_left(config, elbow, action, limit):
    controller, free = limited(**elbow), begun(config)
    action = np.array(action, np.float32)
    act = controller.act(action)
    assert act.interventions == (limit,)
    assert not np.allclose(act.executed, action, atol=0.05)
    assert np.array_equal(act.requested, action)
    again = free.act(act.executed)  # where nothing limits
    tool = controller.kinematics.tool_position
    assert np.allclose(tool(again.command), tool(act.command), atol=2e-5)


def test_the_workspace_stops_a_joint_action_at_its_side():
    action = {"kind": "joint_position_delta", "scale": 0.05, "max_lead": 0.2}
    controller = begun(make_robot(action=action))
    down = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    for _ in range(40):
        before = controller.decoder.target.copy()
        act = controller.act(down)
        controller.observe(samples(act.command))
    assert act.interventions == ("workspace",)
    bottom = controller.config.safety.workspace.lower[2]
    assert 0 <= controller.tool_position[2] - bottom < 1e-3
    assert np.allclose(act.executed, (act.command - before) / 0.05, atol=1e-6)
    assert np.abs(act.executed).max() < 0.05


def test_the_cartesian_target_stays_in_the_workspace(config):
    controller, top = begun(config), config.safety.workspace.upper[2]
    for _ in range(40):
        act = controller.act(np.array([0.0, 0.0, 1.0]))
        controller.observe(samples(act.command))
        assert controller.tool_position[2] <= top + 1e-4
    assert controller.tool_position[2] == pytest.approx(top, abs=1e-4)


def test_from_outside_of_the_box_the_way_in_is_slow(config):
    high = [0.49, 0.13, config.safety.workspace.upper[2] + 0.05]
    controller = begun(config, joints_at(high))
    controller.act(np.zeros(3))
    assert np.allclose(controller.decoder.target - high, [0, 0, -config.action.max_lead], atol=1e-5)


def test_the_target_never_runs_ahead_of_a_blocked_arm(config):
    controller = begun(config)
    for _ in range(10):
        controller.act(PUSH)
        controller.observe(samples(START))
    lead = controller.decoder.target - controller.tool_position
    assert np.allclose(lead, [config.action.max_lead, 0.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("wrong", [[np.nan, 0, 0], [0, np.inf, 0], [0, 0], [[0, 0, 0]], [], 1.0])
def test_a_wrong_action_holds_the_last_command(config, wrong):
    controller = begun(config)
    last = controller.act(PUSH)
    controller.observe(samples(last.command))
    act = controller.act(wrong)
    assert np.array_equal(act.command, last.command)
    assert act.interventions == ("invalid",)
    assert np.allclose(act.executed, 0.0, atol=1e-6)
    assert act.executed.shape == act.requested.shape == (3,)


def test_readings_that_are_not_finite_hold_the_last_command(config):
    controller = begun(config)
    sent = controller.act(PUSH).command
    controller.observe(samples(np.full(6, np.nan)))
    assert np.array_equal(controller.act(PUSH).command, sent)


def test_actions_outside_the_box_are_clipped(config):
    wide, border = begun(config).act(PUSH * 7), begun(config).act(PUSH)
    assert np.array_equal(wide.command, border.command)
    assert np.array_equal(wide.executed, PUSH)


def test_time_ends_an_episode_without_reward():
    controller = begun(make_robot(episode={"horizon": 3}))
    ends = [controller.observe(samples(START)) for _ in range(3)]
    assert [end.truncated for end in ends] == [False, False, True]
    assert [end.reward for end in ends] == [0.0, 0.0, 0.0]
    controller.begin(samples(START))
    assert not controller.observe(samples(START)).truncated


@pytest.mark.parametrize("horizon", [1, 60])
def test_success_terminates_even_on_the_last_step(horizon):
    controller = begun(make_robot(episode={"horizon": horizon}))
    deep = TOOL + [0.016, 0.0, 0.031]
    outcome = controller.observe(samples(START, socket=deep))
    assert (outcome.reward, outcome.terminated, outcome.truncated) == (1.0, True, False)


@pytest.mark.parametrize("offset", [[0.0, 0.0, 0.029], [0.013, 0.013, 0.031]])
def test_not_deep_or_beside_is_no_success(config, offset):
    controller = begun(config)
    socket = TOOL + offset
    assert not controller.observe(samples(START, socket=socket)).terminated


def test_lifted_compares_with_the_begin_of_the_episode():
    rule = {"function": "lifted", "object": "socket.position", "height": 0.1}
    controller = begun(make_robot(episode={"success": rule}))
    assert not controller.observe(samples(START, socket=[0.5, 0.1, 0.19])).terminated
    assert controller.observe(samples(START, socket=[0.5, 0.1, 0.21])).terminated
    controller.begin(samples(START, socket=[0.5, 0.1, 0.21]))
    assert not controller.observe(samples(START, socket=[0.5, 0.1, 0.3])).terminated


def test_the_gripper_is_one_more_element():
    gripper = {"joint": "finger", "lower": 0.0, "upper": 0.8, "scale": 0.2}
    limits = {n: v.model_dump() for n, v in load_robot("ur5e_insert").safety.joints.items()}
    limits["finger"] = dict.fromkeys(("acceleration", "deviation"))
    limits["finger"] |= {"lower": 0.0, "upper": 0.8, "velocity": 5.0}
    robot = make_robot(
        action={"gripper": gripper}, safety={"joints": limits}, observation=with_finger()
    )
    controller = Controller(robot)
    joints = np.append(START, 0.0)
    controller.begin(samples(joints))
    assert controller.action_names == ("x", "y", "z", "gripper")
    sent = [controller.act([0.0, 0.0, 0.0, 1.0]).command[6] for _ in range(5)]
    assert np.allclose(sent, [0.2, 0.4, 0.6, 0.8, 0.8])


def with_finger() -> dict:
    """Sources that measure the gripper's joint too."""
    sources = load_robot("ur5e_insert").model_dump(mode="json")["observation"]["sources"]
    sources[0]["joints"].append("finger")
    return {"sources": sources}
