"""Whatever comes in, what goes out is finite and within the limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from robot_samples import KINEMATICS, START, joints_at

from porl_ros.robot.loading import load_robot
from porl_ros.robot.safety import Motion, SafetyFilter
from porl_ros.robot.workspace import TOLERANCE

ROBOT = load_robot("ur5e_insert")
FILTER = SafetyFilter(ROBOT, KINEMATICS)
LIMITS = [ROBOT.safety.joints[joint] for joint in ROBOT.command_joints]
LOWER = np.array([limit.lower for limit in LIMITS])
UPPER = np.array([limit.upper for limit in LIMITS])
STEP = np.array([limit.velocity for limit in LIMITS]) / ROBOT.control_rate


CHANGE = np.array([limit.acceleration for limit in LIMITS]) / ROBOT.control_rate**2


def filtered(command, last):
    """From standing at `last`, where the joints are too."""
    result = FILTER.filter(np.asarray(command), Motion.standing(last), last)
    return result.command, result.interventions


def outside(joints: np.ndarray) -> float:
    box, tool = ROBOT.safety.workspace, KINEMATICS.tool_position(joints)
    return max(0.0, *(np.array(box.lower) - tool), *(tool - np.array(box.upper)))


anything = st.floats(width=64) | st.floats(-4, 4)
commands = arrays(float, 6, elements=anything) | arrays(float, st.integers(0, 9), elements=anything)
shares = arrays(float, 6, elements=st.floats(0, 1))


@given(command=commands, share=shares)
@settings(max_examples=300, deadline=None)
def test_what_goes_out_is_within_the_limits(command, share):
    last = LOWER + share * (UPPER - LOWER)
    sent = filtered(command, last)[0]
    assert sent.shape == last.shape
    assert np.isfinite(sent).all()
    assert (sent >= LOWER - 1e-12).all()
    assert (sent <= UPPER + 1e-12).all()
    assert (np.abs(sent - last) <= STEP * (1 + 1e-9)).all()
    assert outside(sent) <= max(outside(last), TOLERANCE) + 1e-12


@given(offset=arrays(float, 6, elements=st.floats(-1, 1)))
@settings(max_examples=100, deadline=None)
def test_what_is_allowed_is_not_touched(offset):
    command = START + 0.1 * STEP * offset  # in the middle of everything
    sent, interventions = filtered(command, START)
    assert interventions == ()
    assert np.array_equal(sent, command)


def test_velocity_keeps_the_direction():
    wish = np.array([0.2, 0.1, 0.0, 0.0, 0.0, -0.05])
    sent, interventions = filtered(START + wish, START)
    assert interventions == ("velocity",)
    assert np.allclose(sent - START, wish / 2)


def test_position_is_clipped():
    last = np.append(START[:5], 1.55)
    sent, interventions = filtered(np.append(START[:5], 1.65), last)
    assert interventions == ("position",)
    assert sent[5] == pytest.approx(1.6, abs=1e-12)


def test_out_of_the_box_is_held_and_the_way_back_is_free():
    box = ROBOT.safety.workspace
    inside = np.array([0.5, 0.13, box.lower[2] + 0.002])
    last = joints_at(inside)
    below = KINEMATICS.solve(last, inside - [0, 0, 0.006])
    sent, interventions = filtered(below, last)
    assert interventions == ("workspace",)
    assert outside(sent) == 0.0
    assert KINEMATICS.tool_position(sent)[2] < inside[2]  # up to the side it may go
    back = KINEMATICS.solve(below, inside - [0, 0, 0.004])  # still outside, but less
    assert np.array_equal(filtered(back, below)[0], back)


@pytest.mark.parametrize("wrong", [np.full(6, np.nan), np.append(START[:5], np.inf), START[:5]])
def test_what_cannot_be_mended_is_held(wrong):
    sent, interventions = filtered(wrong, START)
    assert interventions == ("invalid",)
    assert np.array_equal(sent, START)
    assert sent is not START
