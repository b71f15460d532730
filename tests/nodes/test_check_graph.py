"""`porl check --live` against nodes that really publish: right things, and each wrong one."""

import importlib
import json
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from graphs import own_graph
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray, Int64
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.checks import live as checking
from porl_ros.nodes.checks.live import check_graph
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot

pytestmark = pytest.mark.slow

NAMESPACE, HEARD = "arm1", 0.8
PERIOD = 0.05  # s between two messages


class Driver:
    """A robot's driver and controller, right unless told otherwise; in a thread of its own."""

    def __init__(self, config: RobotConfig, **wrong):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        self.node = rclpy.create_node("driver", namespace=NAMESPACE, context=self._context)
        self._config, self._wrong, self._first = config, wrong, None
        self._samples = SimulatedRobot(config).reset(0)
        quality = messages.qos(reliable=wrong.get("reliable", True))
        kinds = {"arm": JointState, "socket": PoseStamped} | wrong.get("kinds", {})
        topics = {s.name: s.topic for s in config.observation.sources} | wrong.get("topics", {})
        self._publishers = {
            name: self.node.create_publisher(kinds[name], topic, quality)
            for name, topic in topics.items()
            if topic
        }
        listens = wrong.get("listens", Float64MultiArray)
        if listens:
            durable = messages.qos(reliable=True, latched=wrong.get("durable", False))
            topic = config.action.command.topic
            self.node.create_subscription(listens, topic, lambda message: None, durable)
        if wrong.get("resets", True):
            self.node.create_service(Trigger, "reset", lambda request, response: response)
        self.node.create_timer(wrong.get("period", PERIOD), self._speak)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._running = True
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while self._running:
            self._executor.spin_once(timeout_sec=0.05)

    def _speak(self) -> None:
        now = self.node.get_clock().now().nanoseconds
        self._first = self._first or now
        for source in self._config.observation.sources:
            publisher = self._publishers.get(source.name)
            if source.name in self._wrong.get("mute", ()) or publisher is None:
                continue
            if publisher.msg_type is not messages.MESSAGES[source.type]:
                continue
            stamps = self._wrong.get("stamps", {})
            stamp = stamps.get(source.name, lambda now, first: now)(now, self._first)
            sample = self._samples[source.name]._replace(stamp=max(0, stamp))
            message = messages.from_sample(source, sample)
            self._wrong.get("change", lambda message: None)(message)
            publisher.publish(message)

    def close(self) -> None:
        self._running = False
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@contextmanager
def driver(config: RobotConfig, **wrong):
    made = Driver(config, **wrong)
    try:
        yield made
    finally:
        made.close()


def look(config: RobotConfig, lockstep: bool = False) -> dict[str, list]:
    """Findings by level, of a graph that must be there."""
    found = {}
    for finding in check_graph(config, NAMESPACE, lockstep, HEARD, required=True):
        found.setdefault(finding.level, []).append(finding)
    return found


def test_a_driver_that_does_what_the_config_says_is_fine(config):
    with driver(config):
        found = look(config)
    assert set(found) == {"ok"}
    about = {finding.subject for finding in found["ok"]}
    assert about == {
        "/arm1/joint_states", "/arm1/socket_pose", "/arm1/reset",
        "/arm1/forward_position_controller/commands",
    }  # fmt: skip


def unit(message) -> None:
    if isinstance(message, JointState):
        message.position = [57.3 * value for value in message.position]


def names(message) -> None:
    if isinstance(message, JointState):
        message.name = [f"ur_{name}" for name in message.name]


def ago(seconds: float):
    return lambda now, first: now - round(seconds * 1e9)


JOINTS, SOCKET, COMMANDS = "joint_states", "socket_pose", "forward_position_controller/commands"
WRONG = [  # what is wrong, and of each topic what is said and what is to be done
    (
        {"change": names, "kinds": {"socket": Int64}, "listens": None, "resets": False},
        {
            JOINTS: ("no joint shoulder_pan_joint", "driver's names"),
            SOCKET: ("carries std_msgs/msg/Int64", "convert"),
            COMMANDS: ("nobody listens", "ros2 control"),
            "reset": ("no episode can begin", "operator"),
        },
    ),
    (
        {"topics": {"arm": "states", "socket": ""}, "listens": JointTrajectory},
        {
            JOINTS: ("nobody publishes", "/arm1/states"),
            SOCKET: ("nobody publishes", "start the driver"),
            COMMANDS: ("is heard as trajectory_msgs", "command.type"),
        },
    ),
    (
        {"change": unit, "stamps": {"socket": ago(-5.0)}, "durable": True},
        {
            f"{JOINTS}, shoulder_pan_joint": ("outside its limits", "is the unit rad"),
            SOCKET: ("in the future", "NTP"),
            COMMANDS: ("does not reach 'driver'", "volatile"),
        },
    ),
    (
        {"stamps": {"arm": lambda now, first: 0, "socket": lambda now, first: first}},
        {
            JOINTS: ("its stamps are 0", "header.stamp"),
            SOCKET: ("its stamp stands still", "when it measures"),
        },
    ),
    (
        {"stamps": {"arm": lambda now, first: 2 * first - now, "socket": ago(3.0)}},
        {JOINTS: ("jump back", "second publisher"), SOCKET: (" s ago when it comes", "NTP")},
    ),
    (
        {"stamps": {"arm": lambda now, first: now - first}, "mute": ["socket"]},
        {JOINTS: (" s ago when it comes", "use_sim_time"), SOCKET: ("says nothing", "active")},
    ),
    ({"period": 0.25}, {JOINTS: ("max_age is 0.15 s", "faster")}),
]


@pytest.mark.parametrize(("wrong", "expected"), WRONG)
def test_each_fault_is_found_with_its_remedy(config, monkeypatch, wrong, expected):
    monkeypatch.setattr(checking, "DISCOVERY", 3.0)  # what never comes is waited for
    with driver(config, **wrong):
        errors = {f.subject: f for f in look(config).get("error", [])}
    for subject, (text, remedy) in expected.items():
        found = errors[f"/{NAMESPACE}/{subject}"]
        assert text in found.text
        assert remedy in found.remedy


def test_what_is_slow_but_not_too_slow_is_a_warning(config):
    with driver(config, period=0.13):
        found = look(config)
    assert f"/{NAMESPACE}/{JOINTS}" in {f.subject for f in found["warning"]}
    assert all("control at 10" in f.text for f in found["warning"])


def test_best_effort_sensors_do_for_a_robot_and_not_for_lock_step(config):
    with driver(config, reliable=False):
        assert set(look(config)) == {"ok"}
        errors = look(config, lockstep=True)["error"]
    assert "offers what does not reach us" in errors[0].text


def test_who_else_speaks_is_told(config):
    """Two drivers, somebody who commands already, two clocks."""
    with driver(config) as one:
        one.node.create_publisher(JointState, JOINTS, 1)
        one.node.create_publisher(Float64MultiArray, COMMANDS, messages.COMMAND)
        for _ in range(2):
            one.node.create_publisher(Clock, "/clock", messages.qos(reliable=False))
        found = look(config)
    texts = {f.subject: f.text for f in found["warning"] + found["error"]}
    assert "has 2 publishers" in texts[f"/{NAMESPACE}/{JOINTS}"]
    assert "is commanded already, by driver" in texts[f"/{NAMESPACE}/{COMMANDS}"]
    assert "has 2 publishers" in texts["/clock"]


def test_a_judge_must_be_there_and_say_yes_or_no(config):
    reward = {"source": "topic", "done": "task/done", "reward": "task/reward"}
    content = config.model_dump() | {"reward": reward}
    judged = RobotConfig.model_validate(content)
    with driver(judged) as robot:
        robot.node.create_publisher(Bool, "task/done", 1)
        robot.node.create_publisher(Int64, "task/reward", 1)
        found = look(judged)
    assert any("has a judge" in f.text for f in found["ok"])
    (error,) = found["error"]
    assert "carries std_msgs/msg/Int64, must be std_msgs/msg/Float64" in error.text


def test_a_simulation_is_fine_by_its_own_clock(tmp_path, config):
    simulation = SimulationBringup(mode="paced", robot_config="so101_insert").nodes()[0]
    so101, namespace = load_robot("so101_insert"), NAMESPACE
    with NodeProcesses([simulation], tmp_path, namespace) as nodes, Monitor(namespace) as monitor:
        up = lambda: "is up" in nodes.log_path("simulation").read_text()  # noqa: E731
        assert monitor.wait_for(up, 100.0, nodes.check)
        found = look(so101)
    assert set(found) == {"ok"}, found
    assert len(found["ok"]) == 4


def test_the_command_tells_a_graph_that_is_empty_from_one_that_must_be_there(
    porl_alone, monkeypatch
):
    monkeypatch.setattr(checking, "ARRIVAL", 1.0)
    monkeypatch.setattr(checking, "DISCOVERY", 1.0)
    said = porl_alone("check", "ur5e_insert", "--live", "--episodes", 0, "--json")
    report = json.loads(said.out)
    assert (said.code, report["errors"]) == (3, 1)
    assert "ROS_DOMAIN_ID" in report["findings"][-1]["remedy"]
    said = porl_alone("check", "ur5e_insert", "--episodes", 0, "--json")
    assert said.code == 0
    assert "nobody else is on it" in json.loads(said.out)["findings"][-1]["text"]


@pytest.fixture
def porl_alone(monkeypatch, capsys):
    """The command, on a graph without other tests' nodes."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "cli")
    with own_graph():
        yield importlib.import_module("command").Porl(monkeypatch, capsys)
