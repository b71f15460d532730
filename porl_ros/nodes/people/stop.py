"""The operator's stop: heard in a thread of its own, so that nothing the node does delays it.

It does not replace the emergency stop of the hardware.
"""

from collections.abc import Callable
from threading import Event, Thread

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode

# Between them they hear every publisher, latched or not, reliable or not; who is heard twice stops
# twice, which is once. Deep, because a False that comes at once must not push a True out.
QUALITIES = (
    messages.qos(reliable=True, depth=100, latched=True),
    messages.qos(reliable=True, depth=100),
    messages.qos(reliable=False, depth=100),
)


class Stop:
    """Latched: set by the service `stop`, a True on the topic `stop`, or a watchdog (`press`);
    released by the service `reset_stop` alone.

    Lives as long as its node, in every state of its lifecycle. `on_stop` and `on_reset` are called
    in the thread that listens; `on_stop` with every press, also when it is pressed already.
    """

    def __init__(self, node: PorlNode, on_stop: Callable[[], None], on_reset: Callable[[], None]):
        self._log, self._on_stop, self._on_reset = node.get_logger(), on_stop, on_reset
        self._pressed, self._ended = Event(), Event()
        self.reason = ""  # why it is pressed
        self._node = _listener(node)
        topic = node.resolve_topic_name("stop")
        for quality in QUALITIES:
            self._node.create_subscription(Bool, topic, self._on_message, quality)
        for name, answer in (("stop", self._on_service), ("reset_stop", self._on_reset_service)):
            self._node.create_service(Trigger, node.resolve_service_name(name), answer)
        self._thread = Thread(target=self._listen, name="stop", daemon=True)
        self._thread.start()

    @property
    def pressed(self) -> bool:
        """Whether nothing may be sent but what brings the robot to rest. Any thread."""
        return self._pressed.is_set()

    def press(self, reason: str) -> None:
        """Stop, until it is reset. Any thread."""
        if not self.pressed:
            self.reason = reason
            self._log.error(f"stopped: {reason}; call the service reset_stop to go on")
        self._pressed.set()
        self._on_stop()

    def close(self) -> None:
        """Stop listening."""
        self._ended.set()
        self._thread.join()
        self._node.destroy_node()

    def _listen(self) -> None:
        executor = SingleThreadedExecutor(context=self._node.context)
        executor.add_node(self._node)
        try:
            while not self._ended.is_set():
                executor.spin_once(timeout_sec=0.2)
        except ExternalShutdownException:
            pass
        finally:
            executor.shutdown()

    def _on_message(self, message: Bool) -> None:
        if message.data:
            self.press("the topic stop")

    def _on_service(self, request: Trigger.Request, response: Trigger.Response):
        self.press("the service stop")
        response.success, response.message = True, "stopped; reset_stop releases it"
        return response

    def _on_reset_service(self, request: Trigger.Request, response: Trigger.Response):
        response.success, response.message = True, "was not stopped"
        if self.pressed:
            self._log.warning("stop is reset: the policy goes on with a new episode")
            self._pressed.clear()
            self._on_reset()
            response.message = "released: the policy goes on with a new episode"
        return response


def _listener(node: PorlNode) -> rclpy.node.Node:
    """A node of its own, because a node has one executor; global renames are not meant for it."""
    return rclpy.create_node(
        f"{node.get_name()}_stop",
        namespace=node.get_namespace(),
        context=node.context,
        use_global_arguments=False,
        start_parameter_services=False,
        enable_rosout=False,
    )
