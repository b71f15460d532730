"""Each limit of the safety filter by numbers worked out by hand, and which of them gives way."""

import numpy as np
import pytest
from robot_filters import IN_A_BOX, limited_robot
from robot_samples import KINEMATICS, START, TOOL, joints_at

from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.loading import load_robot
from porl_ros.robot.safety import Limit, Motion, SafetyFilter
from porl_ros.robot.workspace import TOLERANCE

FILTER = SafetyFilter(IN_A_BOX[0], KINEMATICS)
REST = Motion.standing(START)
LAST = np.eye(6)[5]  # of the last joint alone, which leaves the tool where it is


def gentle(**limits) -> SafetyFilter:
    """0.1 rad a step at most, 0.01 rad a step more or less; 10 Hz."""
    robot = limited_robot(**{"velocity": 1.0, "acceleration": 1.0, "deviation": None} | limits)
    return SafetyFilter(robot, KINEMATICS)


def moving(step: np.ndarray, position: np.ndarray = START) -> Motion:
    """In steady motion."""
    return Motion(position, step, np.zeros(6))


def test_what_is_allowed_is_sent_to_the_last_bit():
    asked = START + 0.0123 * np.array([1, -1, 1, 0.3, 1, 1])
    result = FILTER.filter(asked, REST, START)
    assert result.interventions == ()
    assert np.array_equal(result.command, asked)
    assert result.command is not asked


def test_velocity_keeps_the_direction():
    wish = np.array([0.2, 0.1, 0.0, 0.0, 0.0, -0.05])
    result = FILTER.filter(START + wish, REST, START)
    assert result.interventions == ("velocity",)
    assert np.allclose(result.command - START, wish / 2)
    assert np.array_equal(result.asked, START + wish)


def test_position_is_clipped():
    last = np.append(START[:5], 1.55)
    result = FILTER.filter(np.append(START[:5], 1.65), Motion.standing(last), last)
    assert result.interventions == ("position",)
    assert result.command[5] == pytest.approx(1.6, abs=1e-12)


def test_acceleration_is_of_what_was_sent():
    safety, motion = gentle(), REST
    for step in (0.01, 0.02, 0.03, 0.02, 0.01, 0.0, -0.01):
        forth = motion.step[5] < 0.03 and not motion.change[5] < 0
        result = safety.filter(motion.position + (0.1 if forth else -0.1) * LAST, motion, START)
        assert result.interventions == ("acceleration",)
        assert result.motion.step[5] == pytest.approx(step)
        motion = result.motion


def test_braking_begins_in_time_to_stop_at_the_limit():
    # From 0.04 rad a step: 0.04 + 0.03 + 0.02 + 0.01 = 0.1 rad.
    last = np.append(START[:5], 1.6 - 0.1)
    safety, motion = gentle(), moving(0.05 * LAST, last)
    for step in (0.04, 0.03, 0.02, 0.01, 0.0):
        result = safety.filter(motion.position + 0.05 * LAST, motion, motion.position)
        assert result.motion.step[5] == pytest.approx(step, abs=1e-12)
        assert "position" in result.interventions
        assert "deviation" not in result.interventions
        motion = result.motion
    assert motion.position[5] == pytest.approx(1.6, abs=1e-12)


def test_a_command_stays_near_the_measured_joints():
    safety, motion = gentle(deviation=0.03), REST
    for _ in range(20):  # the arm is blocked
        result = safety.filter(motion.position + 0.02 * LAST, motion, START)
        motion = result.motion
    assert result.interventions == ("deviation",)
    assert motion.position[5] - START[5] == pytest.approx(0.03)


def test_when_the_robot_runs_away_the_command_turns_back_within_the_acceleration():
    safety, motion = gentle(deviation=0.03), moving(0.025 * LAST)
    away = START - 0.5 * LAST
    steps = []
    for _ in range(5):
        result = safety.filter(motion.position + 0.025 * LAST, motion, away)
        steps.append(result.motion.step[5])
        motion = result.motion
    assert np.allclose(steps, [0.015, 0.005, -0.005, -0.015, -0.025])


def test_jerk_shapes_what_is_asked_for_but_not_braking():
    safety, motion, steps = gentle(jerk=4.0), REST, []  # 0.004 rad a step per step and step
    for _ in range(4):
        result = safety.filter(motion.position + 0.1 * LAST, motion, START)
        steps.append(result.motion.step[5])
        motion = result.motion
    assert np.allclose(np.diff([0.0, *steps]), [0.004, 0.008, 0.01, 0.01])
    assert set(result.interventions) == {Limit.JERK, Limit.ACCELERATION}
    assert safety.ramp_down(motion).motion.step[5] == pytest.approx(steps[-1] - 0.01)


def test_the_tool_stops_at_the_side_of_the_workspace():
    robot = limited_robot(rate=100.0, velocity=2.0)
    safety, side = SafetyFilter(robot, KINEMATICS), robot.safety.workspace.lower[2]
    motion, heights, reasons = REST, [], set()
    for _ in range(80):
        down = KINEMATICS.solve(
            motion.position, KINEMATICS.tool_position(motion.position) - [0, 0, 0.005]
        )
        result = safety.filter(down, motion, motion.position)
        motion = result.motion
        reasons |= set(result.interventions)
        heights.append(KINEMATICS.tool_position(motion.position)[2])
    assert reasons >= {Limit.ACCELERATION, Limit.WORKSPACE}
    assert max(-np.diff(heights)) > 0.003  # it was fast on the way
    assert heights[-1] - side < 5e-4
    assert min(heights) >= side - TOLERANCE


def test_the_way_back_into_the_workspace_is_free():
    below = joints_at([0.5, 0.13, IN_A_BOX[0].safety.workspace.lower[2] - 0.02])
    higher = KINEMATICS.solve(below, KINEMATICS.tool_position(below) + [0, 0, 0.01])
    lower = KINEMATICS.solve(below, KINEMATICS.tool_position(below) - [0, 0, 0.01])
    start = Motion.standing(below)
    assert np.array_equal(FILTER.filter(higher, start, below).command, higher)
    held = FILTER.filter(lower, start, below)
    assert held.interventions == ("workspace",)
    assert np.array_equal(held.command, below)


def test_a_joint_outside_of_its_limits_is_led_back_and_no_further_out():
    outside = np.append(START[:5], 1.9)
    safety, motion = gentle(), Motion.standing(outside)
    out = safety.filter(outside + 0.05 * LAST, motion, outside)
    assert out.command[5] == pytest.approx(1.9 - 0.01)  # asked to go out, led in
    assert safety.ramp_down(motion).command[5] == 1.9


@pytest.mark.parametrize(
    "wrong", [np.full(6, np.nan), np.append(START[:5], np.inf), START[:5], None, "x", [[1.0]] * 6]
)
def test_what_is_not_usable_is_answered_by_braking(wrong):
    safety, motion = gentle(), moving(0.025 * LAST)
    for asked, measured in ((wrong, START), (START, wrong)):
        result = safety.filter(asked, motion, measured)
        assert result.interventions == (Limit.INVALID,)
        assert np.allclose(result.command, START + 0.015 * LAST)
        assert np.array_equal(result.asked, START)
    at_rest = safety.filter(wrong, REST, START)
    assert np.array_equal(at_rest.command, START)


def test_the_gripper_has_limits_of_its_own():
    robot = load_robot("ur5e_lift")
    safety = SafetyFilter(robot, ArmKinematics(robot.kinematics))
    start = np.append(joints_at(TOOL), 0.7)
    result = safety.filter(start + [0, 0, 0, 0, 0, 0, 0.2], Motion.standing(start), start)
    assert result.interventions == ("position",)
    assert result.command[6] == pytest.approx(0.8)
    opened = safety.filter(start - [0, 0, 0, 0, 0, 0, 0.5], Motion.standing(start), start)
    assert opened.interventions == ("velocity",)
    assert opened.command[6] == pytest.approx(0.7 - 0.25)


def test_the_result_depends_on_the_arguments_alone():
    safety, motion = gentle(), moving(0.02 * LAST)
    first = safety.filter(START + 0.1, motion, START)
    safety.filter(START - 1.0, REST, START + 0.2)
    assert np.array_equal(first.command, safety.filter(START + 0.1, motion, START).command)
    assert np.array_equal(motion.position, START)
