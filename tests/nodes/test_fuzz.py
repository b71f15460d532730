"""A thousand broken messages on every input of the running policy node.

It lives, and nothing out of limits is ever sent."""

import json
import re

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from running import running
from scripted_robot import ScriptedRobot, scripted_robot
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Int64MultiArray, String

from porl_ros.nodes import messages

pytestmark = pytest.mark.slow

MESSAGES = 1000
NUMBERS = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0, 0.0, 1e6, 3.0]
STAMPS = [0, 1, 10**9, 2**31 * 10**9 - 1, -1, -(10**18)]
TEXTS = ["", "shoulder_pan_joint", "\0", "é" * 300, "elbow_joint", "x"]
BUNDLES = [
    "", "{", "[]", "null", "1e999", '{"path": 1}', '{"path": ""}', '{"path": "/"}',
    '{"path": "\\u0000"}', '{"path": "/dev/zero"}', '{"path": null}', '{"path": {"path": "x"}}',
    "[" * 100_000, json.dumps({"path": "x" * 5000}), '{"path": "/proc/self/mem"}',
]  # fmt: skip


class Fuzz:
    """Makes broken messages; seeded."""

    def __init__(self, robot: ScriptedRobot | None):
        self._rng, self._robot = np.random.default_rng(0), robot

    def pick(self, values: list):
        return values[self._rng.integers(len(values))]

    def numbers(self, size: int) -> list[float]:
        """Good ones and bad ones, mixed, and not always as many as there should be."""
        size = self.pick([0, 1, size - 1, size, size, size, size + 1, 500])
        return [float(self.pick(NUMBERS)) for _ in range(size)]

    def stamp(self, header) -> None:
        stamp = self.pick([*STAMPS, self._robot.now - 10**8, *[self._robot.now] * 3])
        header.stamp.sec = int(np.clip(stamp // 10**9, -(2**31), 2**31 - 1))
        header.stamp.nanosec = int(stamp % 10**9)

    def joints(self) -> JointState:
        message = self._robot.measured()["arm"]
        self.stamp(message.header)
        names = list(message.name)
        if self.pick([True, False]):
            names[self._rng.integers(len(names))] = self.pick(TEXTS)
        if self.pick([True, False]):
            self._rng.shuffle(names)
        message.name = names[: self.pick([0, 3, len(names), len(names)])]
        if self.pick([True, True, False]):
            message.position = self.numbers(len(names))
        else:
            message.position[self._rng.integers(len(names))] = float(self.pick(NUMBERS))
        message.velocity = self.numbers(len(names))
        return message

    def pose(self) -> PoseStamped:
        message = PoseStamped()
        self.stamp(message.header)
        message.header.frame_id = self.pick(TEXTS)
        p, q = message.pose.position, message.pose.orientation
        p.x, p.y, p.z, q.x, q.y, q.z, q.w = (float(self.pick(NUMBERS)) for _ in range(7))
        return message

    def twist(self) -> TwistStamped:
        message = TwistStamped()
        self.stamp(message.header)
        v, w = message.twist.linear, message.twist.angular
        v.x, v.y, v.z, w.x, w.y, w.z = (float(self.pick([*NUMBERS, 0.02])) for _ in range(6))
        return message

    def wanted(self) -> JointState:
        message = self.joints()
        if len(message.name) == len(self._robot.commands[-1][1]) and self.pick([True, False]):
            message.position = list(self._robot.commands[-1][1])
        return message

    def joystick(self) -> Joy:
        size = self.pick([0, 1, 2, 50])
        buttons = [int(self.pick([0, 1, 1, -1, 2**31 - 1])) for _ in range(size)]
        return Joy(axes=[float(self.pick([np.nan, np.inf, 0.5]))] * 4, buttons=buttons)

    def bundle(self) -> String:
        return String(data=self.pick([*BUNDLES, *TEXTS]))

    def grant(self) -> Int64MultiArray:
        size = self.pick([0, 1, 2, 3, 3, 3, 4, 50])
        values = [0, 1, -1, 2**63 - 1, -(2**63), 100, 7]
        return Int64MultiArray(data=[self.pick(values) for _ in range(size)])


def test_broken_messages_of_the_sensors_of_a_robot(tmp_path, config, base):
    with scripted_robot(tmp_path, config, base, learner=True) as robot:
        fuzz = Fuzz(robot)
        bundles = robot.node.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
        stops = robot.node.create_publisher(Bool, "stop", messages.EVENTS)
        robot.configure()
        for topic, broken in (
            (robot.sensors["arm"], fuzz.joints),
            (robot.sensors["socket"], fuzz.pose),
            (bundles, fuzz.bundle),
            (stops, lambda: Bool(data=False)),
        ):
            robot.act()
            sent = len(robot.commands)
            for i in range(MESSAGES):
                topic.publish(broken())
                robot.sync()  # each is taken, not the newest alone
                if i % 10 == 9:  # what is true is said, too
                    robot.pass_time(20_000_000)
            robot.act(20)
            assert len(robot.commands) > sent
        assert robot.states[-1]["alarms"]["unusable"] > 0
        log = robot.system.nodes.log_path("policy").read_text()
        assert re.search(r"\[ERROR\].*joint_states: ", log)  # told now and then
        assert robot.system.nodes.stop() == {"policy": 0}
    assert "Traceback" not in robot.system.nodes.log_path("policy").read_text()
    assert_within_limits(config, [command for _, command in robot.commands])


def test_broken_messages_of_a_person(tmp_path, config, base):
    """Twists, joints and a joystick, all at once, while the button is held now and then."""
    with scripted_robot(tmp_path, config, base, deadman_button=1) as robot:
        fuzz = Fuzz(robot)
        robot.configure()
        kinds = [
            (TwistStamped, "teleop/twist", fuzz.twist),
            (JointState, "teleop/joints", fuzz.wanted),
            (Joy, "teleop/joy", fuzz.joystick),
        ]
        topics = [
            (robot.node.create_publisher(kind, topic, messages.EVENTS), broken)
            for kind, topic, broken in kinds
        ]
        for topic, _ in topics:
            robot.until(lambda topic=topic: topic.get_subscription_count() > 0, "is heard")
        robot.act()
        for _ in range(MESSAGES):
            for topic, broken in topics:
                topic.publish(broken())
            robot.sync()
            robot.pass_time(20_000_000)
        robot.act(20)
        assert sum(state["state"] == "human" for state in robot.states) > 10
        log = robot.system.nodes.log_path("policy").read_text()
        for refused in ("teleop/twist: ", "teleop/joints: ", "teleop/joy: "):
            assert re.search(rf"\[ERROR\].*{refused}", log)
        assert robot.system.nodes.stop() == {"policy": 0}
    assert "Traceback" not in robot.system.nodes.log_path("policy").read_text()
    assert_within_limits(config, [command for _, command in robot.commands])


def assert_within_limits(config, commands: list[np.ndarray]) -> None:
    sent = np.array(commands)
    limits = [config.safety.joints[joint] for joint in config.command_joints]
    assert len(sent) > 100
    assert np.isfinite(sent).all()
    assert (sent >= [limit.lower for limit in limits]).all()
    assert (sent <= [limit.upper for limit in limits]).all()


def test_broken_messages_in_lock_step(tmp_path, base):
    """The grants and bundles of a learner that has lost its mind, and a clock."""
    with running(tmp_path, base, learner=False, extra={"learner": True}) as system:
        node, fuzz = system.monitor.node, Fuzz(None)
        topics = [
            (
                node.create_publisher(Int64MultiArray, "learner/grant", messages.LATCHED_EVENTS),
                fuzz.grant,
            ),
            (node.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS), fuzz.bundle),
        ]
        for topic, _ in topics:
            system.wait_for(topic.get_subscription_count)
        for _ in range(MESSAGES):
            for topic, broken in topics:
                topic.publish(broken())
            system.monitor.spin_once(0.0)
        good = Int64MultiArray(data=[1_000_000, 0, 0])
        topics[0][0].publish(good)
        steps = system.monitor.policy_steps
        system.wait_for(lambda: system.monitor.policy_steps > steps + 100)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
    assert "Traceback" not in system.nodes.log_path("policy").read_text()
