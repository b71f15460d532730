"""Whatever the policy says and the sensors read: commands keep the limits, for all kinds of action.

`PORL_CASES=10000 pytest tests/robot/test_controller_properties.py` is the long form.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_actions import KINDS, robot_of
from robot_filters import CASES, PLACES, Bounds
from robot_samples import samples
from test_safety_properties import JUNK, within

from porl_ros.robot.controller import Controller
from porl_ros.robot.safety import Motion

ROBOTS = [robot_of(kind, rate) for kind in KINDS for rate in (10.0, 100.0)]
CONTROLLERS = [(Controller(robot), Bounds(robot)) for robot in ROBOTS]
HOLD = "hold"

numbers = st.floats(width=64) | st.floats(-1.5, 1.5) | st.sampled_from([-1.0, 0.0, 1.0])
actions = st.lists(numbers, min_size=6, max_size=6) | st.sampled_from([*JUNK, HOLD])
said = st.floats(width=64) | st.floats(-0.2, 0.2) | st.just(np.nan)  # of a joint; NaN: nothing
twists = st.none() | st.lists(numbers, min_size=6, max_size=6).map(np.array)
wishes = st.tuples(st.lists(said, min_size=6, max_size=6).map(np.array), st.booleans(), twists)
shares = st.none() | st.tuples(st.floats(0.01, 1.0), st.floats(0.1, 1.0))  # of the limits, from now
readings = st.sampled_from(["follows", "lags", "blocked", "pushed", "lost", "unreadable"])


def read(how: str, measured: np.ndarray, sent: np.ndarray, n: int) -> np.ndarray:
    """Where the joints are measured to be after a command."""
    if how == "lags":
        return measured + 0.3 * (sent - measured)
    if how == "pushed":
        return measured + 0.3 * np.sin(n + np.arange(6))
    known = {"follows": sent, "blocked": measured, "lost": np.full(6, 1e300)}
    return known.get(how, np.full(6, np.nan))


@given(
    which=st.sampled_from(CONTROLLERS),
    start=st.sampled_from(PLACES),
    steps=st.lists(
        st.tuples(actions | wishes, readings, st.integers(1, 5), shares), min_size=1, max_size=6
    ),
)
@settings(max_examples=CASES, deadline=None)
def test_commands_keep_every_limit(which, start, steps):
    controller, bounds = which
    controller.scale(1.0, 1.0)
    controller.begin(samples(start))
    motion = Motion.standing(start)
    measured = start
    for action, how, times, share in steps:
        if share:
            controller.scale(*share)
        for n in range(times):
            act = controller.hold() if action is HOLD else acted(controller, action)
            after = motion.moved(act.command - motion.position)
            within(bounds, start, motion, after)
            check_record(act, controller)
            if action is not HOLD and not act.interventions:
                assert np.array_equal(act.executed, np.clip(act.requested, -1.0, 1.0))
                assert np.array_equal(act.asked, act.command)
            motion = after
            measured = read(how, measured, act.command, n)
            controller.observe(samples(measured))
            if not np.isfinite(measured).all() or measured[0] > 100.0:
                measured = act.command


def acted(controller: Controller, action):
    """Act; a list of six is cut to the size that this kind of action has."""
    if isinstance(action, tuple) and len(action) == 3:  # a person's wish, near where it stands
        joints, near, twist = action
        return controller.steer(joints + controller.sent if near else joints, twist)
    is_action = isinstance(action, list) and len(action) == 6
    return controller.act(action[: controller.decoder.size] if is_action else action)


def check_record(act, controller: Controller) -> None:
    """What is recorded are actions."""
    for action in (act.executed, act.requested):
        assert action.dtype == np.float32
        assert action.shape == (controller.decoder.size,)
        assert np.isfinite(action).all()
    assert (np.abs(act.executed) <= 1.0).all()
    assert 0.0 <= act.unexplained < np.inf
    assert act.asked.shape == act.command.shape


@pytest.mark.parametrize("velocity", [1.0, 0.2])
@pytest.mark.parametrize("acceleration", [1.0, 0.3])
def test_less_than_the_limits_may_be_asked_for(velocity, acceleration):
    robot = robot_of("joint_position_delta", 100.0)
    controller, start = Controller(robot), np.array(robot.kinematics.home)
    controller.scale(velocity, acceleration)
    controller.begin(samples(start))
    limit, sent = robot.safety.joints[robot.command_joints[0]], [start[0]]
    far = np.full(6, np.nan)
    far[0] = start[0] + 1.0
    for _ in range(40):
        sent.append(controller.steer(far).command[0])
        controller.observe(samples(controller.sent))
    steps = np.diff(sent)
    assert steps.max() <= velocity * limit.velocity / 100.0 + 1e-12
    assert np.diff(steps, prepend=0.0).max() <= acceleration * limit.acceleration / 1e4 + 1e-12
    assert steps.max() > 0.9 * min(velocity * limit.velocity, 40 * limit.acceleration / 100) / 100.0
    controller.scale(1.0, 0.1)  # while it moves: it must be able to stop as it was promised
    braked = max(0.0, steps[-1] - acceleration * limit.acceleration / 1e4)
    assert controller.hold().command[0] - sent[-1] == pytest.approx(braked, abs=1e-12)
