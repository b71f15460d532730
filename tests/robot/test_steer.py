"""What a person asks for is limited as an action is, and becomes the action closest to it."""

import numpy as np
import pytest
from robot_actions import KINDS, robot_of
from robot_samples import START, samples

from porl_ros.robot.controller import Controller
from porl_ros.robot.safety import Limit

SILENT = np.full(6, np.nan)


@pytest.fixture
def controller(config) -> Controller:
    controller = Controller(config)
    controller.begin(samples(START))
    return controller


def twist(x=0.0, y=0.0, z=0.0, turn=0.0) -> np.ndarray:
    return np.array([x, y, z, 0.0, 0.0, turn])


def drive(controller: Controller, velocity: np.ndarray, steps: int) -> list:
    acts = []
    for _ in range(steps):
        acts.append(controller.steer(SILENT, velocity))
        controller.observe(samples(acts[-1].command))
    return acts


def test_a_twist_moves_the_tool_with_its_velocity(config, controller):
    before = controller.tool_position
    acts = drive(controller, twist(x=0.03, z=-0.02), 10)
    moved = controller.tool_position - before
    assert np.allclose(moved, [0.03, 0.0, -0.02], atol=1e-4)
    per_step = np.array([0.03, 0.0, -0.02]) / config.control_rate / config.action.scale
    for act in acts:
        assert act.interventions == ()
        assert np.allclose(act.executed, per_step, atol=1e-3)
        assert np.allclose(act.requested, act.executed, atol=1e-6)
        assert act.unexplained < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_with_every_kind_of_action(kind):
    controller = Controller(robot_of(kind, 10.0))
    controller.begin(samples(START))
    before = controller.tool_position
    acts = drive(controller, twist(y=0.02), 5)
    assert np.allclose(controller.tool_position - before, [0.0, 0.01, 0.0], atol=1e-4)
    follower = Controller(robot_of(kind, 10.0))  # what is recorded leads to what was sent
    follower.begin(samples(START))
    for act in acts:
        assert act.unexplained < 1e-3
        command = follower.act(act.executed).command
        assert np.allclose(command, act.command, atol=1e-4)
        follower.observe(samples(command))


def test_only_an_action_that_turns_is_turned(config, controller):
    rotation = controller.kinematics.tool_rotation
    before = rotation(START)
    acts = drive(controller, twist(turn=0.5), 5)
    assert np.abs((rotation(acts[-1].command) @ before.inverse()).log()).max() < 1e-3
    turning = Controller(robot_of("cartesian_twist", 10.0))
    turning.begin(samples(START))
    turned = rotation(drive(turning, twist(turn=0.1), 5)[-1].command) @ before.inverse()
    assert np.allclose(turned.log(), [0.0, 0.0, 0.05], atol=2e-3)


def test_a_twist_leads_no_further_ahead_than_an_action(config, controller):
    for _ in range(10):  # blocked: the arm does not move
        act = controller.steer(SILENT, twist(x=0.1))
        controller.observe(samples(START))
    here = controller.kinematics.tool_position(START)
    ahead = controller.kinematics.tool_position(act.command) - here
    assert ahead[0] == pytest.approx(config.action.max_lead, abs=1e-3)


def test_joints_that_are_named_go_there_and_the_others_stay(controller):
    joints = SILENT.copy()
    joints[3] = START[3] + 0.05
    act = controller.steer(joints)
    assert np.allclose(act.command - START, [0, 0, 0, 0.05, 0, 0], atol=1e-12)
    assert act.interventions == ()


def test_the_filter_comes_after_the_person(config, controller):
    far = START + 2.0
    act = controller.steer(far)
    assert Limit.VELOCITY in act.interventions
    assert np.array_equal(act.asked, far)
    limits = [config.safety.joints[joint].velocity for joint in config.command_joints]
    most = np.array(limits) / config.control_rate
    assert (np.abs(act.command - START) <= most + 1e-9).all()
    assert act.unexplained > 0.1  # no action goes there, and that is said


def test_handing_back_goes_on_from_what_was_sent(config, controller):
    last = drive(controller, twist(x=0.05), 5)[-1].command
    still = np.zeros(3, np.float32)
    act = controller.act(still)
    limits = [config.safety.joints[joint].acceleration for joint in config.command_joints]
    assert np.abs(act.command - last).max() < 1e-3  # the target is where the person left it
    drive(controller, twist(x=-0.05), 1)
    steps = np.diff([START, last, act.command], axis=0)
    assert np.isfinite(steps).all()
    assert len(limits) == 6


@pytest.mark.parametrize("bad", [np.full(6, np.nan), np.full(6, np.inf), np.zeros(3), "no twist"])
def test_what_is_no_twist_is_answered_by_holding(controller, bad):
    act = controller.steer(SILENT, bad)
    assert act.interventions == (Limit.INVALID,)
    assert np.array_equal(act.command, START)
