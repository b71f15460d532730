"""A robot config against a graph that is up: what a policy node would find when it came."""

import time
from collections.abc import Iterator

import rclpy
from rclpy.duration import Infinite
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rosgraph_msgs.msg import Clock

from porl_ros.nodes import messages
from porl_ros.nodes.checks.sources import SourceCheck
from porl_ros.nodes.graph import stay_local
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.messages import nanoseconds
from porl_ros.simulation.checking import Finding

ARRIVAL = 15.0  # s in which somebody must be found, where somebody must be there
DISCOVERY = 5.0  # s in which all that is there is found
NAME = "porl_check"
# As policy nodes publish; the graph tells durations, and none is told as an endless one.
COMMAND = QoSProfile(
    depth=messages.COMMAND.depth,
    reliability=messages.COMMAND.reliability,
    durability=messages.COMMAND.durability,
    liveliness=LivelinessPolicy.AUTOMATIC,
    deadline=Infinite,
    liveliness_lease_duration=Infinite,
)
RESET, TRIGGER = "reset", "std_srvs/srv/Trigger"


def check_graph(
    config: RobotConfig, namespace: str, lockstep: bool, seconds: float, required: bool
) -> Iterator[Finding]:
    """Listen for `seconds`, once there is something to listen to, and say what was found.

    Sends nothing. A graph with nobody on it is an error only if one is `required`.
    """
    stay_local()
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    node = rclpy.create_node(NAME, namespace=namespace, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        yield from _Graph(node, executor, config, lockstep).findings(seconds, required)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


class _Graph:
    def __init__(
        self, node: Node, executor: SingleThreadedExecutor, config: RobotConfig, lockstep: bool
    ):
        self._node, self._executor, self._config = node, executor, config
        self._simulated: int | None = None  # ns, where somebody publishes /clock
        self._clock = node.resolve_topic_name("/clock")
        node.create_subscription(Clock, self._clock, self._on_clock, messages.qos(reliable=False))
        self._command = node.resolve_topic_name(config.action.command.topic)
        self._sources = [
            SourceCheck(node, config, source, lockstep, self._now)
            for source in config.observation.sources
        ]

    def _on_clock(self, message: Clock) -> None:
        self._simulated = nanoseconds(message.clock)

    def _now(self) -> int:
        if self._simulated is not None:
            return self._simulated
        return self._node.get_clock().now().nanoseconds

    def findings(self, seconds: float, required: bool) -> Iterator[Finding]:
        self._spin(ARRIVAL if required else DISCOVERY, self._others)
        self._spin(DISCOVERY, self._complete)
        if not self._others():
            yield self._nobody(required)
            return
        for source in self._sources:
            source.forget()
        self._spin(seconds)
        yield from self._of_clock()
        for source in self._sources:
            yield from source.findings()
        yield from self._of_command()
        yield from self._of_reset()
        yield from self._of_rewards()

    def _spin(self, seconds: float, enough=lambda: False) -> None:
        deadline = time.monotonic() + seconds
        while not enough() and (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=min(left, 0.1))

    def _complete(self) -> bool:
        """Whether there is all that a robot needs: then nobody is waited for any more."""
        listened = self._node.count_subscribers(self._command)
        return bool(listened and all(source.heard > 1 for source in self._sources))

    def _others(self) -> list[tuple[str, str]]:
        ours = (NAME, self._node.get_namespace())
        return [name for name in self._node.get_node_names_and_namespaces() if name != ours]

    @staticmethod
    def _nobody(required: bool) -> Finding:
        return Finding(
            "error" if required else "ok", "ROS graph", "nobody else is on it",
            "start the robot's driver, and look at ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE",
        )  # fmt: skip

    def _of_clock(self) -> Iterator[Finding]:
        count = self._node.count_publishers(self._clock)
        if count > 1:
            yield Finding(
                "error", self._clock, f"has {count} publishers: time would jump to and fro",
                "stop all but one, or remap /clock of each robot's nodes, as bringup_multi does",
            )  # fmt: skip
        elif count and self._simulated is None:
            yield Finding(
                "error",
                self._clock,
                "has a publisher and says nothing",
                "is the simulation active?",
            )

    def _of_command(self) -> Iterator[Finding]:
        command, topic = self._config.action.command, self._command
        listeners = self._node.get_subscriptions_info_by_topic(topic)
        kinds = sorted({info.topic_type for info in listeners})
        if not listeners:
            yield Finding(
                "error", topic, "nobody listens: commands would go nowhere",
                "start the controller (ros2 control list_controllers), or name its topic in "
                "action.command",
            )  # fmt: skip
        elif command.type not in kinds:
            yield Finding(
                "error", topic, f"is heard as {', '.join(kinds)}, the config says {command.type}",
                "set action.command.type, or start the controller that takes it",
            )  # fmt: skip
        else:
            yield from self._of_listeners(topic, listeners)
        others = self._node.get_publishers_info_by_topic(topic)
        if others:
            names = ", ".join(sorted(info.node_name for info in others))
            yield Finding(
                "warning", topic, f"is commanded already, by {names}",
                "stop it unless it is our policy node: two would pull the robot to and fro",
            )  # fmt: skip

    def _of_listeners(self, topic: str, listeners: list) -> Iterator[Finding]:
        deaf = []
        for info in listeners:
            fit, why = qos_check_compatible(COMMAND, info.qos_profile)
            if fit == QoSCompatibility.ERROR:
                deaf.append(f"'{info.node_name}' ({why})")
        if deaf:
            yield Finding(
                "error", topic, f"does not reach {', '.join(deaf)}",
                "let it subscribe volatile and without deadline, as controllers do",
            )  # fmt: skip
        else:
            names = ", ".join(sorted(info.node_name for info in listeners))
            yield Finding("ok", topic, f"is heard by {names}")

    def _of_reset(self) -> Iterator[Finding]:
        if self._config.reset.then != "simulation":
            return
        name = self._node.resolve_service_name(RESET)
        kinds = dict(self._node.get_service_names_and_types()).get(name, [])
        if TRIGGER not in kinds:
            yield Finding(
                "error", name,
                "no episode can begin: reset.then is `simulation`, and nobody offers the service",
                "start the simulation, or set reset.then to `operator` or `begin`",
            )  # fmt: skip
        else:
            yield Finding("ok", name, "is offered")

    def _of_rewards(self) -> Iterator[Finding]:
        reward = self._config.reward
        if reward.source != "topic":
            return
        for topic, kind in ((reward.done, "Bool"), (reward.reward, "Float64")):
            if topic is None:
                continue
            name, wanted = self._node.resolve_topic_name(topic), f"std_msgs/msg/{kind}"
            infos = self._node.get_publishers_info_by_topic(name)
            kinds = sorted({info.topic_type for info in infos})
            if not infos:
                yield Finding(
                    "error", name, "nobody judges: no episode would ever succeed",
                    "start the judge, or choose another reward.source",
                )  # fmt: skip
            elif wanted not in kinds:
                yield Finding(
                    "error", name, f"carries {', '.join(kinds)}, must be {wanted}", "convert it"
                )
            else:
                yield Finding("ok", name, "has a judge")
