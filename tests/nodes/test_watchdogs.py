"""Every watchdog with every reaction, through the real node: reason, reaction, way back."""

from collections.abc import Iterable

import numpy as np
import pytest
from scripted_robot import TICK, ScriptedRobot, scripted_robot

from porl_ros.nodes.acting.watchdog_table import WATCHDOGS, Reaction, Reason

pytestmark = pytest.mark.slow

# Tighter than the default, so that a tick can be late while the samples are fresh.
LATE_TICK = 0.3


def noticed(robot: ScriptedRobot, reason: Reason) -> bool:
    """Whether the last thing it said is of this reason, or that it has stopped because of it."""
    return bool(robot.states) and reason in f"{robot.state[1]} {robot.states[-1]['detail']}"


def fall_silent(robot: ScriptedRobot) -> None:
    robot.silent.add("arm")


def deafen(robot: ScriptedRobot) -> None:
    robot.turn_deaf()


def go_back_in_time(robot: ScriptedRobot) -> None:
    robot.now -= 5_000_000_000


def be_late(robot: ScriptedRobot) -> None:
    robot.run()
    robot.sync()
    robot.pass_time(round(1.4 * robot.config.period_ns), sensors_first=True)


def break_a_sensor(robot: ScriptedRobot) -> None:
    robot.broken = True


def repeat(robot: ScriptedRobot) -> None:
    robot.say_once(arm=robot.now)


def confuse(robot: ScriptedRobot) -> None:
    robot.say_once(arm=robot.now - TICK)


def stamp_ahead(robot: ScriptedRobot) -> None:
    robot.say_once(arm=robot.now + 3_000_000_000)


TROUBLE = {
    Reason.STALE: fall_silent,
    Reason.REPEATED: repeat,
    Reason.OUT_OF_ORDER: confuse,
    Reason.AHEAD: stamp_ahead,
    Reason.UNUSABLE: break_a_sensor,
    Reason.LATE_TICK: be_late,
    Reason.NO_SUBSCRIBER: deafen,
    Reason.CLOCK_BACK: go_back_in_time,
}
# Those that are given the same reaction at once, because none of them brings another one about.
CONDITIONS = (Reason.STALE, Reason.UNUSABLE, Reason.NO_SUBSCRIBER, Reason.CLOCK_BACK)
EVENTS = (Reason.REPEATED, Reason.OUT_OF_ORDER, Reason.AHEAD)
LASTING = Reason.STALE, Reason.UNUSABLE  # for as long as the trouble does
GROUPS = CONDITIONS, EVENTS, (Reason.LATE_TICK,)
CASES = [(group, reaction) for group in GROUPS for reaction in WATCHDOGS[group[0]].choices]


@pytest.fixture(scope="module")
def robot(tmp_path_factory, config, base) -> Iterable[ScriptedRobot]:
    folder = tmp_path_factory.mktemp("watchdogs")
    with scripted_robot(folder, config, base, late_tick=LATE_TICK) as up:
        yield up


def recover(robot: ScriptedRobot) -> None:
    """What was wrong is over."""
    robot.silent.clear()
    robot.broken = False
    robot.listen()


@pytest.mark.parametrize(("group", "reaction"), CASES)
def test_watchdogs_react_and_find_their_way_back(robot, group, reaction):
    able = [reason for reason in group if reaction in WATCHDOGS[reason].choices]
    robot.configure(**{f"watchdog.{reason}": str(reaction) for reason in able})
    for reason in able:
        robot.act()
        check(robot, reason, reaction)
    robot.set(**{f"watchdog.{reason}": str(WATCHDOGS[reason].reaction) for reason in able})


def check(robot: ScriptedRobot, reason: Reason, reaction: Reaction) -> None:
    resets, states, alarms = robot.resets, len(robot.states), robot.states[-1]["alarms"]
    TROUBLE[reason](robot)
    expected = {Reaction.CONTINUE: "acting", Reaction.STOP: "stopped"}.get(reaction, "holding")
    said = "stop" if expected == "stopped" else str(reason)
    robot.until(lambda: robot.said(expected, said, since=states), f"{reason} {reaction}")
    if expected == "stopped":
        assert reason in robot.states[-1]["detail"]
    if expected == "stopped" or reason in LASTING:
        assert_nothing_more_is_sent(robot)
        assert noticed(robot, reason)
    if expected == "stopped":
        robot.trigger("reset_stop")
    robot.silent.clear()
    robot.broken = False
    robot.listen()
    robot.act()
    assert robot.states[-1]["alarms"][reason] > alarms.get(reason, 0)
    assert (robot.resets > resets) == (reaction in (Reaction.RAMP_DOWN, Reaction.STOP))
    assert f"{reason}: " in robot.system.nodes.log_path("policy").read_text()


def assert_nothing_more_is_sent(robot: ScriptedRobot) -> None:
    """Control periods pass, the node has seen them, and the commands that follow are the sentinel:
    what one publisher sends arrives in order."""
    robot.sync()  # what was sent before the state was told may come after it: two topics
    sent, last = len(robot.commands), robot.commands[-1][1]
    for _ in range(3):
        robot.run()
        robot.sync()
    assert len(robot.commands) == sent
    assert np.array_equal(robot.commands[-1][1], last)


@pytest.mark.parametrize("reaction", WATCHDOGS[Reason.MISSING].choices)
def test_a_source_that_says_nothing_at_all(robot, reaction):
    robot.silent.add("socket")
    robot.configure(**{f"watchdog.{Reason.MISSING}": str(reaction)})
    sent, resets = len(robot.commands), robot.resets
    robot.until(lambda: noticed(robot, Reason.MISSING), "missing")
    expected = {Reaction.STOP: "stopped", Reaction.RAMP_DOWN: "waiting"}.get(reaction, "holding")
    robot.until(lambda: robot.state[0] == expected, expected)
    assert_nothing_more_is_sent(robot)
    assert len(robot.commands) == sent
    if reaction is Reaction.STOP:
        robot.trigger("reset_stop")
    robot.silent.clear()
    robot.act()
    assert robot.resets > resets


def test_what_was_sent_was_always_within_the_limits(robot):
    """Follows the tests above: everything that was ever sent."""
    commands = np.array([command for _, command in robot.commands])
    limits = [robot.config.safety.joints[joint] for joint in robot.config.command_joints]
    assert len(commands) > 200
    assert (commands >= [limit.lower for limit in limits]).all()
    assert (commands <= [limit.upper for limit in limits]).all()
