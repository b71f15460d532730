"""Listens to the diagnostics and the log of every node there is, for `porl top`."""

import math
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rclpy.executors import SingleThreadedExecutor

from porl_ros.nodes import messages
from porl_ros.nodes.watching.diagnostics import TOPIC
from porl_ros.nodes.watching.health import Level, Status

SILENT = 3.0  # seconds after which a node is stale: it should say something every second
EVENTS = 100  # lines of the log that are kept
LOG = messages.qos(reliable=True, depth=100, latched=True)


@dataclass
class Node:
    """What one node has said of itself last."""

    heard_at: float  # s of a clock that never jumps
    statuses: dict[str, Status] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        """Whether it should have said something since."""
        return time.monotonic() - self.heard_at > SILENT


@dataclass(frozen=True)
class Event:
    """A line of the log that is a warning or worse, or tells of a stage."""

    at: str
    node: str
    level: str
    text: str


class Overview:
    """All nodes, by full name. One thread spins and reads. A context manager."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self._heard: set[str] = set()  # full names of all that spoke, others' nodes too
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        self._node = rclpy.create_node("top", context=self._context, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        listen = self._node.create_subscription
        listen(DiagnosticArray, TOPIC, self._on_diagnostics, messages.EVENTS)
        listen(Log, "/rosout", self._on_log, LOG)

    def spin(self, seconds: float) -> None:
        """Take in what comes within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def snapshot(self, namespace: str = "") -> dict[str, Any]:
        """Everything as JSON has it, of the nodes under `namespace`; what is not known is null."""
        nodes = {name: node for name, node in sorted(self.nodes.items()) if under(name, namespace)}
        return {
            "nodes": {name: _node_as_json(node) for name, node in nodes.items()},
            "events": [asdict(event) for event in self.events if under(event.node, namespace)],
        }

    def unheard(self, namespace: str = "") -> set[str]:
        """Full names of nodes under `namespace` that can speak and have not done so yet."""
        speakers = self._node.get_publishers_info_by_topic(TOPIC)
        names = {f"{each.node_namespace}/{each.node_name}".lstrip("/") for each in speakers}
        return {name for name in names - self._heard if under(name, namespace)}

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        found: dict[str, dict[str, Status]] = {}
        for status in message.status:
            name, separator, what = status.name.partition(": ")
            values = {pair.key: _value(pair.value) for pair in status.values}
            level = Level(status.level[0] if isinstance(status.level, bytes) else status.level)
            if separator:
                found.setdefault(name, {})[what] = Status(what, level, status.message, values)
        self._heard.update(found)
        for name, statuses in found.items():
            if "lifecycle" in statuses:  # ours; a robot's own nodes may speak there, too
                self.nodes[name] = Node(time.monotonic(), statuses)

    def _on_log(self, message: Log) -> None:
        level = int.from_bytes(message.level) if isinstance(message.level, bytes) else message.level
        name = message.name.replace(".", "/")
        if level >= 30 or message.msg.startswith("stage: "):
            at = datetime.fromtimestamp(message.stamp.sec).astimezone().strftime("%H:%M:%S")
            word = "ERROR" if level >= 40 else "WARN" if level >= 30 else "INFO"
            self.events.append(Event(at, name, word, message.msg))


def under(name: str, namespace: str) -> bool:
    """Whether a full name is in a namespace; in the empty one are all."""
    return not namespace or name.startswith(f"{namespace.strip('/')}/")


def _value(text: str) -> str | float | bool | None:
    if text in ("True", "False"):
        return text == "True"
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else None


def _node_as_json(node: Node) -> dict[str, Any]:
    statuses = {
        name: {"level": status.level.name, "text": status.text, "values": dict(status.values)}
        for name, status in node.statuses.items()
    }
    return {"silent": node.silent, "statuses": statuses}
