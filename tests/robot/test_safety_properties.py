"""Whatever is asked for, in whatever order: what goes out is within every limit.

`PORL_CASES=10000 pytest tests/robot/test_safety_properties.py` is the long form.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from robot_filters import CASES, EPSILON, SITUATIONS

from porl_ros.robot.safety import Limit, Motion
from porl_ros.robot.workspace import TOLERANCE

ROUNDING = 1e-9  # of the tool's place, m

JUNK = [
    None, "home", [], [1.0], {}, np.full(6, np.nan), np.full(6, np.inf), np.zeros(5), [10**400] * 6,
    ["0"] * 6, [True] * 6, [1j] * 6, [0.0, [1.0], 2.0], np.array([0, None]), np.zeros((6, 1)),
]  # fmt: skip
floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
six = st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array)
anything = st.lists(floats | st.floats(-4, 4), min_size=6, max_size=6) | st.sampled_from(JUNK)
# What an opponent asks for, given what was sent so far; `v` are six numbers in [-1, 1].
ASKED = {
    "push": lambda m, b, v: m.position + np.sign(v) * 5.0,
    "fast": lambda m, b, v: m.position + 1.5 * b.velocity * v,
    "turn back": lambda m, b, v: m.position - 3.0 * m.step * np.abs(v),
    "ease": lambda m, b, v: m.position + m.step + 0.9 * np.minimum(b.acceleration, 0.1) * v,
    "go on": lambda m, b, v: m.position + m.step * (1.0 + 0.1 * v),
    "to a limit": lambda m, b, v: np.where(v > 0, b.upper, b.lower),
    "huge": lambda m, b, v: 1e308 * np.sign(v),
    "stay": lambda m, b, v: m.position,
    "one joint": lambda m, b, v: m.position + np.eye(6)[int(3 * (v[0] + 1)) % 6] * v * 0.5,
}
moves = st.lists(
    st.tuples(st.sampled_from([*ASKED]), six, st.integers(1, 8)) | anything, min_size=1, max_size=8
)
anywhere = st.sampled_from(SITUATIONS)
case = given(situation=anywhere, moves=moves)
quick = settings(max_examples=CASES, deadline=None)


def wishes(moves, motion, bounds):
    """What is asked for, one after the other; send `(motion)` back to get the next."""
    for move in moves:
        if not (isinstance(move, tuple) and len(move) == 3 and move[0] in ASKED):
            motion = yield move
            continue
        name, v, times = move
        for _ in range(times):
            motion = yield ASKED[name](motion, bounds, v)


def run(safety, bounds, start, moves, measure=lambda motion: motion.position):
    """The filter's answer to each move: (before, answer)."""
    motion = Motion.standing(start)
    asking = wishes(moves, motion, bounds)
    asked = next(asking)
    while True:
        answer = safety.filter(asked, motion, measure(motion))
        yield motion, answer
        motion = answer.motion
        try:
            asked = asking.send(motion)
        except StopIteration:
            break
    while motion.step.any():  # whatever has happened, it can stop
        answer = safety.ramp_down(motion)
        assert (np.abs(answer.motion.step) <= np.abs(motion.step)).all()
        yield motion, answer
        motion = answer.motion


def within(bounds, start, before, after) -> None:
    """Position, velocity, acceleration and workspace, from numbers that were sent alone."""
    sent, last = after.position, before.position
    assert sent.shape == (6,)
    assert np.isfinite(sent).all()
    assert (sent >= bounds.lower - EPSILON).all()
    assert (sent <= bounds.upper + EPSILON).all()
    assert (np.abs(sent - last) <= bounds.velocity + EPSILON).all()
    second_difference = sent - last - before.step
    assert (np.abs(second_difference) <= bounds.acceleration + EPSILON).all()
    assert bounds.outside(sent) <= max(bounds.outside(start), TOLERANCE) + ROUNDING
    assert np.allclose(after.step, sent - last, atol=EPSILON)


@case
@quick
def test_all_limits_hold_together_for_any_sequence(situation, moves):
    safety, bounds, start = situation
    for before, answer in run(safety, bounds, start, moves):
        within(bounds, start, before, answer.motion)


@case
@quick
def test_what_is_not_reported_is_not_changed_and_keeps_the_jerk(situation, moves):
    safety, bounds, start = situation
    for before, answer in run(safety, bounds, start, moves):
        if answer.interventions == (Limit.INVALID,) or answer.asked is before.position:  # braking
            continue
        same = np.array_equal(answer.command, answer.asked)
        assert same == (not answer.interventions)
        if set(answer.interventions) <= {Limit.JERK}:
            jerk = np.abs(answer.motion.change - before.change)
            assert (jerk <= bounds.jerk + EPSILON).all()


@case
@quick
def test_a_blocked_robot_is_not_left_behind(situation, moves):
    safety, bounds, start = situation
    stuck = start.copy()
    for before, answer in run(safety, bounds, start, moves, lambda motion: stuck):
        within(bounds, start, before, answer.motion)
        assert (np.abs(answer.command - stuck) <= bounds.deviation + EPSILON).all()


@given(
    situation=anywhere,
    moves=moves,
    readings=st.lists(anything | six, min_size=1, max_size=8),
)
@quick
def test_no_reading_of_the_joints_breaks_a_limit(situation, moves, readings):
    safety, bounds, start = situation
    steps = iter(range(10_000))
    measure = lambda motion: readings[next(steps) % len(readings)]  # noqa: E731
    for before, answer in run(safety, bounds, start, moves, measure):
        within(bounds, start, before, answer.motion)


@given(situation=anywhere, share=six, moves=moves)
@quick
def test_from_outside_of_the_workspace_it_never_gets_further_out(situation, share, moves):
    safety, bounds, _ = situation
    start = bounds.lower + (share + 1.0) / 2.0 * (bounds.upper - bounds.lower)
    for before, answer in run(safety, bounds, start, moves):
        within(bounds, start, before, answer.motion)


@given(situation=anywhere, share=six, moves=moves)
@quick
def test_from_outside_of_a_joint_limit_it_never_gets_further_out(situation, share, moves):
    safety, bounds, _ = situation
    start = (bounds.lower + bounds.upper) / 2 + share * (bounds.upper - bounds.lower)
    for before, answer in run(safety, bounds, start, moves):
        sent, last = answer.command, before.position
        beyond = lambda q: np.maximum(np.maximum(bounds.lower - q, q - bounds.upper), 0.0)  # noqa: E731
        assert (beyond(sent) <= beyond(last) + EPSILON).all()
        assert (np.abs(sent - last - before.step) <= bounds.acceleration + EPSILON).all()
        assert (np.abs(sent - last) <= bounds.velocity + EPSILON).all()
