"""Each feature of the observation, against values worked out by hand."""

import numpy as np
import pytest
from robot_files import make_robot
from robot_samples import SOCKET, START, TOOL, samples

from porl_ros.robot.controller import Controller
from porl_ros.robot.observation import ObservationAssembler, Signals

ACTION = np.array([0.5, -0.25, 0.125], np.float32)


@pytest.fixture
def controller(config):
    return Controller(config)


def test_names_and_units(controller):
    names = controller.observation_names
    assert names[:3] == ("to_socket.x", "to_socket.y", "to_socket.z")
    assert names[-3:] == ("last_action.x", "last_action.y", "last_action.z")
    assert len(names) == len(controller.assembler.units) == 15
    assert controller.assembler.units[3] == "sqrt(m)"


def test_the_first_observation(controller):
    observation = controller.begin(samples(START))
    away = TOOL - SOCKET
    expected = [20 * away, 4 * np.sign(away) * np.sqrt(np.abs(away)), np.zeros(9)]
    assert observation.dtype == np.float32
    assert np.allclose(observation, np.concatenate(expected), atol=1e-6)


def test_lag_and_last_action_tell_what_was_asked(controller):
    controller.begin(samples(START))
    controller.act(ACTION)
    observation = controller.observe(samples(START)).observation  # the arm has not moved yet
    assert np.allclose(observation[6:9], 0.0, atol=1e-6)
    assert np.allclose(observation[9:12], 50 * 0.012 * ACTION, atol=1e-3)
    assert np.allclose(observation[12:], ACTION, atol=1e-6)


def test_change_is_over_one_step_and_forgotten_at_begin(controller):
    controller.begin(samples(START))
    sent = controller.act(ACTION).command
    moved = controller.observe(samples(sent)).observation
    assert np.allclose(moved[6:9], 100 * 0.012 * ACTION, atol=1e-3)
    still = controller.observe(samples(sent)).observation
    assert np.allclose(still[6:9], 0.0, atol=1e-6)
    assert np.allclose(controller.begin(samples(START))[6:15], 0.0, atol=1e-6)


def feature(**fields):
    return make_robot(observation={"features": [{"name": "a", **fields}]})


def test_elements_are_selected_in_their_order():
    assembler = ObservationAssembler(feature(signal="tool.position", elements=["z", "x"]))
    values = {"tool.position": np.array([1.0, 2.0, 3.0])}
    assert assembler.names == ("a.z", "a.x")
    assert assembler.assemble(values).tolist() == [3.0, 1.0]


def test_change_of_selected_elements():
    assembler = ObservationAssembler(feature(signal="tool.position", change=True, elements=["y"]))
    seen = [assembler.assemble({"tool.position": np.full(3, v)}).item() for v in (1.0, 4.0, 2.0)]
    assert seen == [0.0, 3.0, -2.0]
    assembler.reset()
    assert assembler.assemble({"tool.position": np.full(3, 9.0)}).item() == 0.0


def test_signed_sqrt_is_odd_and_scaled():
    robot = feature(signal="socket.position", transform="signed_sqrt", scale=2.0)
    values = {"socket.position": np.array([-0.25, 0.0, 4.0])}
    assert ObservationAssembler(robot).assemble(values).tolist() == [-1.0, 0.0, 4.0]


def test_signals_of_a_joint_action():
    robot = make_robot(action={"kind": "joint_position_delta"})
    assert Signals.of(robot).names["last_action"] == robot.kinematics.joints
