"""Every kind of action, through the controller: what it does, and what is said to be executed."""

import numpy as np
import pytest
from robot_actions import KINDS, robot_of
from robot_samples import KINEMATICS, START, TOOL, samples

from porl_ros.errors import PorlError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.simulation.env import RobotEnv

kinds = pytest.mark.parametrize("kind", KINDS)


def begun(robot: RobotConfig) -> Controller:
    controller = Controller(robot)
    controller.begin(samples(START))
    return controller


def drive(controller: Controller, action, steps: int) -> np.ndarray:
    """Repeat an action on a robot that follows at once; the last command."""
    for _ in range(steps):
        act = controller.act(np.asarray(action, np.float32))
        assert act.interventions == ()
        assert act.unexplained == 0.0
        controller.observe(samples(act.command))
    return act.command


def test_a_joint_position_is_between_the_limits_and_approached_within_the_lead():
    controller, action = begun(robot_of("joint_position")), np.zeros(6)
    limits = [controller.config.safety.joints[j] for j in controller.config.command_joints]
    middle = np.array([(limit.lower + limit.upper) / 2 for limit in limits])
    toward = middle + 0.03 * np.array([1, -1, 1, -1, 1, 1])
    half = np.array([(limit.upper - limit.lower) / 2 for limit in limits])
    controller.begin(samples(toward))
    assert np.allclose(drive(controller, action, 1), middle)
    assert np.allclose(drive(controller, (START - middle) / half * 0.0, 1), middle)
    far = controller.decoder.decode(np.ones(6), middle, middle)
    assert np.allclose(far - middle, 0.15)  # max_lead


def test_a_joint_velocity_means_the_same_at_every_rate():
    action = [0.5, -0.5, 0.25, 0.0, 0.0, -0.4]
    for rate in (10.0, 50.0):
        end = drive(begun(robot_of("joint_velocity", rate)), action, round(0.5 * rate))
        assert np.allclose(end - START, 0.4 * 0.5 * np.array(action), atol=1e-6), rate


def test_a_twist_moves_along_and_turns_about_the_axes_of_the_base():
    robot = robot_of("cartesian_twist")
    before = KINEMATICS.tool_rotation(START)
    for axis, element in enumerate(np.eye(6)):
        end = drive(begun(robot), 0.5 * element, 5)
        moved = KINEMATICS.tool_position(end) - TOOL
        turned = (KINEMATICS.tool_rotation(end) @ before.inverse()).log()
        assert np.allclose([*moved / 0.03, *turned / 0.125], element, atol=1e-3), axis


def test_the_orientation_never_runs_ahead_of_a_blocked_arm():
    controller = begun(robot_of("cartesian_twist"))
    for _ in range(8):
        act = controller.act(np.array([0, 0, 0, 0, 0, 1], np.float32))
        controller.observe(samples(START))
    lead = KINEMATICS.tool_rotation(act.command) @ KINEMATICS.tool_rotation(START).inverse()
    assert np.allclose(lead.log(), [0.0, 0.0, 0.1], atol=1e-4)  # max_turn


@kinds
def test_names_of_the_elements(kind):
    controller = begun(robot_of(kind))
    axes = {"cartesian_position_delta": "x y z", "cartesian_twist": "x y z rx ry rz"}
    joints = controller.config.kinematics.joints
    assert controller.action_names == tuple(axes[kind].split() if kind in axes else joints)
    assert controller.decoder.size == len(controller.action_names)


@kinds
def test_the_executed_action_leads_to_what_a_limit_left_of_it(kind):
    controller, rng = begun(robot_of(kind, velocity=0.1)), np.random.default_rng(0)
    decoder, tool = controller.decoder, KINEMATICS.tool_position
    explained = 0
    for _ in range(40):
        measured, last, before = START, controller._motion.position, vars(decoder).copy()
        action = rng.uniform(-1, 1, decoder.size)
        if kind == "joint_position":  # from where it is; anywhere else is farther than the lead
            action = _as_position(controller.config, last) + 0.03 * action
        act = controller.act(action)
        assert (np.abs(act.executed) <= 1.0).all()
        if act.interventions and act.unexplained < 0.01:
            explained += 1
            after = vars(decoder).copy()
            vars(decoder).update(before)
            again = decoder.decode(act.executed, measured, last)
            vars(decoder).update(after)
            assert np.allclose(tool(again), tool(act.command), atol=2e-4)
    assert explained >= 15


def _as_position(robot: RobotConfig, joints: np.ndarray) -> np.ndarray:
    limits = [robot.safety.joints[joint] for joint in robot.command_joints]
    low, high = np.array([[limit.lower, limit.upper] for limit in limits]).T
    return (2 * joints - low - high) / (high - low)


def test_what_no_action_leads_to_is_flagged_by_how_much():
    controller = begun(robot_of("joint_velocity"))
    drive(controller, np.ones(6), 3)
    reading = controller._motion.position + 0.5  # somebody has pushed the arm away
    controller.observe(samples(reading))
    act = controller.act(-np.ones(6, np.float32))
    assert "velocity" in act.interventions
    # Every action would have led 0.5 - 0.1 (the lead) away; 0.1 to 0.15 of it were allowed.
    sent = act.command - (reading - 0.5)
    assert np.allclose(act.unexplained, np.max(0.4 - sent) / 0.04)
    assert np.array_equal(act.executed, -np.ones(6))  # all lead to the same: what was asked for


def test_a_turn_that_no_twist_leads_to_is_flagged():
    controller = begun(robot_of("cartesian_twist"))
    drive(controller, [0, 0, 0, 0, 0, 1], 2)
    wrist = np.array([0, 0, 0, 0, 0, 0.6])
    controller.observe(samples(START + wrist))  # turned by somebody; the lead is 0.1
    act = controller.act(np.zeros(6, np.float32))
    there = KINEMATICS.tool_rotation(act.command)
    turned = (KINEMATICS.tool_rotation(START + wrist) @ there.inverse()).log()
    assert np.linalg.norm(turned) > 0.3
    assert act.unexplained == pytest.approx((np.linalg.norm(turned) - 0.1) / 0.05, abs=0.01)


def test_a_place_that_no_twist_leads_to_is_flagged():
    controller = begun(robot_of("cartesian_twist"))
    reading = START + [0.6, 0, 0, 0, 0, 0.6]  # the tool is moved, not turned
    controller.observe(samples(reading))
    act = controller.act(np.zeros(6, np.float32))
    away = KINEMATICS.tool_position(reading) - KINEMATICS.tool_position(act.command)
    assert act.unexplained == pytest.approx((np.abs(away).max() - 0.02) / 0.012, rel=0.01)


def test_untouched_elements_keep_what_was_asked_for():
    controller = begun(robot_of("joint_position_delta", velocity=0.1))
    controller.observe(samples(START - [0.5, 0, 0, 0, 0, 0]))  # joint 0: every action saturates
    act = controller.act(np.array([0.3, 0, 1, 0, 0, 0], np.float32))
    assert act.executed[0] == np.float32(0.3)


def test_an_episode_cannot_begin_on_a_reading_that_is_not_finite(config):
    with pytest.raises(PorlError, match="not measured at a finite"):
        Controller(config).begin(samples(np.append(START[:5], np.nan)))


def test_holding_brakes_within_the_limits_and_then_stands():
    controller = begun(robot_of("joint_velocity", rate=100.0))
    most = 12.0 / 100.0**2
    for _ in range(20):
        act = controller.act(np.array([1, 0, 0, 0, 0, 0], np.float32))
        controller.observe(samples(act.command))
    before, step = act.command, 0.4 / 100
    assert not controller.standing
    while not controller.standing:
        act = controller.hold()
        moved = act.command - before
        assert moved[0] == pytest.approx(max(step - most, 0.0), abs=1e-12)
        assert act.executed[0] == pytest.approx(moved[0] / (0.4 / 100), abs=1e-6)
        assert not act.requested.any()
        before, step = act.command, moved[0]
    assert np.array_equal(controller.hold().command, before)
    assert act.interventions == ()


@kinds
def test_it_runs_in_simulation(kind):
    env, rng = RobotEnv(robot_of(kind)), np.random.default_rng(0)
    env.reset(seed=0)
    for _ in range(20):
        action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
        observation, _, _, _, info = env.step(action)
        assert np.isfinite(observation).all()
        assert np.abs(info["act"].command - env.controller._measured).max() < 0.2
