"""Tells `/diagnostics` once a second how a node is, and `NODE/metrics/*` the numbers of it.

In a thread of its own: the control thread only counts.
"""

import traceback
from collections.abc import Callable, Iterable
from threading import Event, Thread

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import Float64

from porl_ros.nodes import messages
from porl_ros.nodes.watching.health import Level, Status

PERIOD = 1.0  # seconds, as diagnostic_updater has it
TOPIC = "/diagnostics"


class Diagnostics:
    """Asks `look` how the node is. Its thread ends with `close`."""

    def __init__(self, node: Node, metrics: Iterable[str], look: Callable[[], list[Status]]):
        """`metrics`: names of values in a status that are topics, too."""
        self._node, self._look, self._ended = node, look, Event()
        self._full_name = node.get_fully_qualified_name().lstrip("/")
        self._topic = node.create_publisher(DiagnosticArray, TOPIC, messages.EVENTS)
        self._metrics = {
            name: node.create_publisher(
                Float64, f"{node.get_name()}/metrics/{name}", messages.EVENTS
            )
            for name in metrics
        }
        self._thread = Thread(target=self._work, name="diagnostics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say nothing any more."""
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ended.wait(PERIOD):
            try:
                statuses = self._look()
            except Exception:  # to say nothing would look as if the node were gone
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=60.0)
                statuses = [Status("diagnostics", Level.ERROR, "failed; the log says how")]
            self._tell(statuses)

    def _tell(self, statuses: list[Status]) -> None:
        message = DiagnosticArray(status=[self._message(status) for status in statuses])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._topic.publish(message)
        values = {name: value for status in statuses for name, value in status.values.items()}
        for name in self._metrics.keys() & values.keys():
            self._metrics[name].publish(Float64(data=float(values[name])))

    def _message(self, status: Status) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=bytes([status.level]),
            name=f"{self._full_name}: {status.name}",
            message=status.text,
            hardware_id=self._node.get_namespace(),
            values=[KeyValue(key=k, value=_text(v)) for k, v in status.values.items()],
        )


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
