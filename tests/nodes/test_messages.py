"""Messages and back: what a driver publishes is what the controller gets, or an error by name."""

import math

import numpy as np
import pytest
import yaml
from std_msgs.msg import Float64MultiArray

from porl_ros.nodes import messages
from porl_ros.nodes.messages import MessageError
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Sample

STAMP = 3 * 10**9 + 7


@pytest.fixture
def arm(config):
    return config.observation.sources[0]


@pytest.fixture
def socket(config):
    return config.observation.sources[1]


@pytest.fixture
def joint_state(arm):
    values = {"position": np.arange(6) * 0.1, "velocity": np.arange(6) * -0.2}
    return messages.from_sample(arm, Sample(STAMP, values))


@pytest.fixture
def trajectory_config() -> RobotConfig:
    """The shipped robot with the other command interface."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["action"]["command"]["type"] = "trajectory_msgs/msg/JointTrajectory"
    return RobotConfig.model_validate(content)


def test_joints_are_read_by_name(arm, joint_state):
    for field in ("name", "position", "velocity"):
        values = list(getattr(joint_state, field))
        setattr(joint_state, field, values[::-1])
    joint_state.name = ["another_joint", *joint_state.name]
    joint_state.position = [9.0, *joint_state.position]
    joint_state.velocity = [9.0, *joint_state.velocity]
    sample = messages.to_sample(arm, joint_state)
    assert sample.stamp == STAMP
    assert np.array_equal(sample.values["position"], np.arange(6) * 0.1)
    assert np.array_equal(sample.values["velocity"], np.arange(6) * -0.2)


def test_velocities_may_be_left_out(arm, joint_state):
    joint_state.velocity = []
    assert np.array_equal(messages.to_sample(arm, joint_state).values["velocity"], np.zeros(6))


def test_poses_round_trip(socket):
    values = {"position": np.array([0.1, 0.2, 0.3]), "orientation": np.array([0.0, 0.6, 0.0, 0.8])}
    message = messages.from_sample(socket, Sample(STAMP, values))
    sample = messages.to_sample(socket, message)
    assert sample.stamp == STAMP
    assert all(np.array_equal(sample.values[name], value) for name, value in values.items())


def test_a_missing_joint_is_named(arm, joint_state):
    joint_state.name = ["elbow", *joint_state.name[1:]]
    with pytest.raises(MessageError, match="joint_states: no joint shoulder_pan_joint; has elbow"):
        messages.to_sample(arm, joint_state)


def test_too_few_positions_are_counted(arm, joint_state):
    joint_state.position = list(joint_state.position)[:4]
    with pytest.raises(MessageError, match="4 values of position for 6 names"):
        messages.to_sample(arm, joint_state)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(arm, socket, joint_state, bad):
    joint_state.position = [bad, *list(joint_state.position)[1:]]
    with pytest.raises(MessageError, match="joint_states: position holds values that are not fin"):
        messages.to_sample(arm, joint_state)
    pose = {"position": np.array([0, bad, 0]), "orientation": np.array([0, 0, 0, 1.0])}
    with pytest.raises(MessageError, match="socket_pose: position"):
        messages.to_sample(socket, messages.from_sample(socket, Sample(0, pose)))


@pytest.mark.parametrize("interface", ["config", "trajectory_config"])
def test_commands_round_trip_with_the_stamp_they_answer(interface, request):
    robot = request.getfixturevalue(interface)
    command = np.linspace(-1, 1, 6)
    message = messages.to_command(robot, command, STAMP)
    back, stamp = messages.from_command(robot, message)
    assert np.array_equal(back, command)
    assert stamp == STAMP


def test_an_array_of_another_sender_answers_nothing_in_particular(config):
    _, stamp = messages.from_command(config, Float64MultiArray(data=[0.0] * 6))
    assert stamp == -1


@pytest.mark.parametrize("interface", ["config", "trajectory_config"])
@pytest.mark.parametrize(
    ("values", "complaint"),
    [([0.0] * 5, "5 values for 6 joints"), ([math.nan] * 6, "values that are not finite")],
)
def test_commands_that_do_not_fit_are_refused(interface, values, complaint, request):
    robot = request.getfixturevalue(interface)
    message = messages.to_command(robot, np.array(values), STAMP)
    with pytest.raises(MessageError, match=f"^{robot.action.command.topic}: {complaint}"):
        messages.from_command(robot, message)


def test_a_trajectory_of_other_joints_is_refused(trajectory_config):
    message = messages.to_command(trajectory_config, np.zeros(6), STAMP)
    message.joint_names = message.joint_names[::-1]
    with pytest.raises(MessageError, match="must carry one point for the joints shoulder_pan"):
        messages.from_command(trajectory_config, message)
