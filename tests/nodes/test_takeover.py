"""A person takes over from the policy and hands back, through the real node."""

import json
from collections.abc import Iterable

import numpy as np
import pytest
from by_hand import CLEANUP, DEACTIVATE
from geometry_msgs.msg import TwistStamped
from running import read_rows, running
from scripted_robot import ScriptedRobot, scripted_robot
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.replay import Actor
from porl_ros.robot.kinematics import ArmKinematics

pytestmark = pytest.mark.slow

BUTTON = 4


@pytest.fixture(scope="module")
def robot(tmp_path_factory, config, base) -> Iterable[ScriptedRobot]:
    with scripted_robot(tmp_path_factory.mktemp("takeover"), config, base) as up:
        yield up


class Teleoperation:
    """What a joystick driver and a teleoperation node publish."""

    def __init__(self, node, ready):
        self._topics = {
            kind: node.create_publisher(kind, topic, messages.qos(reliable=True))
            for kind, topic in (
                (TwistStamped, "teleop/twist"), (JointState, "teleop/joints"), (Joy, "teleop/joy"),
            )
        }  # fmt: skip
        ready(lambda: self._topics[TwistStamped].get_subscription_count() > 0)

    def wait_for_button(self, robot: ScriptedRobot) -> None:
        robot.until(lambda: self._topics[Joy].get_subscription_count() > 0, "joystick is heard")

    def twist(self, *velocity: float) -> None:
        message = TwistStamped()
        v, w = message.twist.linear, message.twist.angular
        v.x, v.y, v.z, w.x, w.y, w.z = (*velocity, *[0.0] * (6 - len(velocity)))
        self._topics[TwistStamped].publish(message)

    def joints(self, names, positions) -> None:
        self._topics[JointState].publish(JointState(name=list(names), position=list(positions)))

    def hold(self, pressed: bool, buttons: int = BUTTON + 1) -> None:
        self._topics[Joy].publish(Joy(buttons=[0] * (buttons - 1) + [int(pressed)]))


@pytest.fixture(scope="module")
def person(robot) -> Teleoperation:
    robot.configure()
    return Teleoperation(robot.node, robot.until)


def say(robot: ScriptedRobot, speak, until, what: str) -> None:
    """Speak every control period until the condition holds."""

    def spoken() -> bool:
        speak()
        robot.sync()
        return until()

    robot.until(spoken, what)


def human(robot: ScriptedRobot) -> bool:
    return robot.state[0] == "human"


def answered(robot: ScriptedRobot, commands: int):
    """A condition: so many more commands were sent."""
    goal = len(robot.commands) + commands
    return lambda: len(robot.commands) >= goal


def assert_smooth(robot: ScriptedRobot, since: int) -> None:
    """What was sent since then changed within the limits of velocity and acceleration."""
    limits = [robot.config.safety.joints[joint] for joint in robot.config.command_joints]
    period = 1.0 / robot.config.control_rate
    commands = np.array([command for _, command in robot.commands[since:]])
    steps = np.diff(commands, axis=0)
    assert (np.abs(steps) <= np.array([x.velocity for x in limits]) * period + 1e-9).all()
    most = np.array([x.acceleration for x in limits]) * period**2
    assert (np.abs(np.diff(steps, axis=0)) <= most + 1e-9).all()


def test_a_twist_takes_over_and_silence_hands_back(robot, person):
    robot.act()
    since = len(robot.commands)
    say(robot, lambda: person.twist(0.0, 0.0, 0.05), lambda: human(robot), "takes over")
    first = len(robot.commands)
    say(robot, lambda: person.twist(0.0, 0.0, 0.05), answered(robot, 6), "acts")
    arm = ArmKinematics(robot.config.kinematics)
    rise = arm.tool_position(robot.commands[-1][1]) - arm.tool_position(robot.commands[first][1])
    steps = len(robot.commands) - 1 - first
    assert np.allclose(rise, [0.0, 0.0, 0.005 * steps], atol=1e-3)
    robot.until(lambda: robot.state == ("acting", ""), "hands back")
    robot.act(5)
    assert_smooth(robot, since)
    log = robot.system.nodes.log_path("policy").read_text()
    assert "a person acts; the policy waits" in log
    assert "the policy acts again: the person has let go, or silent for 0.5 s" in log


def test_the_filter_is_the_last_before_the_wire_for_a_person_too(robot, person):
    robot.act()
    since = len(robot.commands)
    say(robot, lambda: person.twist(1e6, -1e300, 50.0, 9e9), lambda: human(robot), "takes over")
    say(robot, lambda: person.twist(1e6, -1e300, 50.0, 9e9), answered(robot, 5), "acts")
    away = robot.commands[-1][1] + [5.0, -5.0, 5.0, -5.0, 5.0, 1e300]
    names = robot.config.command_joints
    say(robot, lambda: person.joints(names, away), answered(robot, 5), "joints")
    assert_smooth(robot, since)
    limits = [robot.config.safety.joints[joint] for joint in names]
    sent = np.array([command for _, command in robot.commands[since:]])
    assert (sent >= [limit.lower for limit in limits]).all()
    assert (sent <= [limit.upper for limit in limits]).all()


def test_joints_by_name_in_any_order_and_not_all_of_them(robot, person):
    robot.until(lambda: robot.state == ("acting", ""), "handed back")
    robot.act()
    last = robot.commands[-1][1]
    wanted = {"wrist_3_joint": last[5] + 0.05, "shoulder_pan_joint": last[0] - 0.03, "knob": 9.0}
    say(robot, lambda: person.joints(wanted, wanted.values()), lambda: human(robot), "takes over")
    held = robot.commands[-1][1]
    say(robot, lambda: person.joints(wanted, wanted.values()), answered(robot, 8), "goes there")
    now = robot.commands[-1][1]
    assert now[5] == pytest.approx(last[5] + 0.05)
    assert now[0] == pytest.approx(last[0] - 0.03)
    assert np.allclose(now[1:5], held[1:5], atol=0.05)
    robot.until(lambda: robot.state == ("acting", ""), "handed back")


def test_what_makes_no_sense_does_not_take_over(robot, person):
    robot.act()
    states = len(robot.states)
    bad = float("nan")
    for _ in range(3):
        person.twist(bad)
        person.joints(robot.config.command_joints, [bad] * 6)
        person.joints(["knob"], [1.0])
        person.joints(["elbow_joint"], [])
        robot.sync()
        robot.act(1)
    assert not any(state["state"] == "human" for state in robot.states[states:])
    log = robot.system.nodes.log_path("policy").read_text()
    assert "teleop/twist: holds values that are not finite; ignored" in log


def test_a_stop_during_a_takeover_stops(robot, person):
    robot.act()
    say(robot, lambda: person.twist(0.0, 0.05), lambda: human(robot), "takes over")
    robot.trigger("stop")
    robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
    sent = len(robot.commands)
    for _ in range(5):
        person.twist(0.0, 0.05)
        robot.run()
        robot.sync()  # it has heard the person and seen the samples
    assert len(robot.commands) == sent
    assert np.array_equal(robot.commands[-1][1], robot.commands[-2][1])
    robot.trigger("reset_stop")
    robot.until(lambda: robot.state == ("acting", ""), "acts again")
    assert robot.commands[sent][0] > robot.commands[sent - 1][0]


def test_with_a_dead_man_button(robot, person):
    robot.configure(deadman_button=BUTTON)
    person.wait_for_button(robot)
    robot.act()
    states = len(robot.states)
    say(robot, lambda: person.twist(0.0, 0.05), answered(robot, 4), "the policy acts on")
    assert not any(state["state"] == "human" for state in robot.states[states:])

    def steered() -> None:
        person.hold(True)
        person.twist(0.0, 0.05)

    say(robot, steered, lambda: human(robot), "takes over")
    say(robot, steered, answered(robot, 3), "acts")
    person.hold(False)
    robot.sync()
    sent = len(robot.commands)
    robot.until(lambda: len(robot.commands) > sent, "hands back")
    assert robot.state == ("acting", "")  # at the next step, whatever the twists say
    say(robot, lambda: person.hold(True), lambda: human(robot), "takes over")
    say(robot, lambda: person.hold(True), lambda: robot.standing, "stands, for nothing is said")
    robot.until(lambda: robot.state == ("acting", ""), "a joystick that is gone has let go")
    log, text = (
        robot.system.nodes.log_path("policy"),
        "teleop/joy: has 2 buttons and none of index 4",
    )
    say(robot, lambda: person.hold(True, buttons=2), lambda: text in log.read_text(), "is refused")
    assert not human(robot)
    robot.configure(deadman_button=-1)


def test_who_acted_is_recorded_and_what_was_done(robot):
    """Follows the tests above."""
    robot.operator.change("policy", DEACTIVATE, CLEANUP)
    rows = read_rows(robot.system.folder / "store")
    human = rows["actor"] == Actor.HUMAN
    assert human.sum() >= 20
    assert (rows["actor"] == Actor.POLICY).sum() >= 20
    assert (np.abs(rows["action"][human]) <= 1.0).all()
    assert np.isfinite(rows["requested_action"][human]).all()
    up = 0.05 / robot.config.control_rate / robot.config.action.scale
    assert (np.abs(rows["action"][human] - [0.0, 0.0, up]).max(1) < 0.02).sum() >= 5
    assert set(rows["policy_version"]) == {0}
    assert robot.system.nodes.stop() == {"policy": 0}
    assert "Traceback" not in robot.system.nodes.log_path("policy").read_text()


def test_in_lock_step_simulated_time_waits_for_the_person(tmp_path, config, base):
    """One step for each thing that he says; the policy goes on when he falls silent."""
    with running(tmp_path, base, learner=False) as system:
        node, states, commands = system.monitor.node, [], []
        node.create_subscription(
            String, "policy/state", lambda m: states.append(json.loads(m.data)["state"]),
            messages.LATCHED_EVENTS,
        )  # fmt: skip
        command = config.action.command
        node.create_subscription(
            messages.MESSAGES[command.type], command.topic,
            lambda m: commands.append(messages.from_command(config, m)[1]),
            messages.qos(reliable=True, depth=1000),
        )  # fmt: skip
        person = Teleoperation(node, system.wait_for)
        system.wait_for(lambda: states and len(set(commands)) > 20)

        def taken_over() -> bool:
            person.twist(0.0, 0.0, 0.02)
            return states[-1] == "human"

        system.wait_for(taken_over)
        stamps = []
        for _ in range(10):
            before = len(set(commands))
            person.twist(0.0, 0.0, 0.02)
            system.wait_for(lambda before=before: len(set(commands)) > before)
            stamps.append(len(set(commands)))
        assert np.diff(stamps).max() <= 2  # an episode may have ended, and another begun
        assert states[-1] == "human"
        system.wait_for(lambda: states[-1] == "acting")
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
    rows = read_rows(tmp_path / "store")
    assert (rows["actor"] == Actor.HUMAN).sum() >= 10
