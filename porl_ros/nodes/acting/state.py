"""What the policy side is doing, for whoever looks: `policy/state`, latched, and the log."""

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from threading import Lock

from rclpy.node import Node
from std_msgs.msg import String

from porl_ros.nodes import messages


class State(StrEnum):
    """Of the policy side."""

    WAITING = "waiting"  # nothing is sent; the reason says for what
    ACTING = "acting"
    HUMAN = "human"  # a person acts; the reason is empty, or `between` two episodes
    RAMPING = "ramping"  # coming to rest
    HOLDING = "holding"  # at rest, until the reason is gone
    STOPPED = "stopped"  # at rest, until an operator resets the stop


class StateTopic:
    """Publishes every change, as JSON: state, reason, detail, since (s of the ROS clock), alarms.

    `alarms` counts what the watchdogs have noticed, by reason. Any thread.
    """

    def __init__(self, node: Node):
        self._node, self._lock = node, Lock()
        self._topic = node.create_publisher(String, "policy/state", messages.LATCHED)
        self.now: tuple[State, str] = (State.WAITING, "")  # state and reason, as last told
        self.alarms: Callable[[], Mapping[str, int]] = dict

    def tell(self, state: State, reason: str, detail: str = "") -> None:
        """The state is this, because of `reason`, a fixed name; `detail` is for people."""
        if (state, reason) == self.now:
            return
        with self._lock:
            self.now = state, reason
            content = {"state": state, "reason": reason, "detail": detail}
            content["since"] = self._node.get_clock().now().nanoseconds / 1e9
            content["alarms"] = dict(self.alarms())
            self._topic.publish(String(data=json.dumps(content)))
