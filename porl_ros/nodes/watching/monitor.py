"""Listens to a running system, for progress bars and tests."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import rclpy
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from std_msgs.msg import Bool, Float64, Int64, String
from std_srvs.srv import Trigger

from porl_ros.nodes import messages


class Monitor:
    """The latest status of learner and policy. One thread spins and reads. A context manager."""

    def __init__(self, namespace: str = ""):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        self.node = rclpy.create_node("monitor", namespace=namespace, context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.learner: dict = {}
        self.policy_steps = 0
        self.policy_version: int | None = None
        self.success_rate = float("nan")
        self.episodes = 0  # that have ended by themselves while it listened
        self.returned: dict = {}  # when an earlier policy was let act again last
        self._offers: Publisher | None = None
        self._services: dict[str, Client] = {}
        listen = self.node.create_subscription
        listen(String, "learner/status", self._on_status, messages.LATCHED)
        listen(Int64, "policy/steps", self._on_steps, messages.LATCHED)
        listen(Int64, "policy/version", self._on_version, messages.LATCHED)
        listen(Float64, "policy/success_rate", self._on_success, messages.EVENTS)
        listen(Bool, "policy/episode_success", self._on_episode, messages.EVENTS)
        listen(String, "policy/returned", self._on_returned, messages.LATCHED)

    def spin(self, seconds: float) -> None:
        """Take in what arrives within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.spin_once(left)

    def spin_once(self, timeout: float) -> None:
        """Take in one thing that arrives within `timeout` seconds."""
        self._executor.spin_once(timeout_sec=timeout)

    def pause_learner(self, paused: bool, timeout: float = 10.0) -> bool:
        """Have learning stopped or resumed; False when nobody answered in `timeout` seconds."""
        verb = "pause" if paused else "resume"
        return self.trigger(f"learner/{verb}", timeout) is not None

    def trigger(self, service: str, timeout: float = 10.0) -> Trigger.Response | None:
        """Call a service; None when nobody answered, having `timeout` seconds to appear and as many
        to answer."""
        client = self._services.get(service) or self.node.create_client(Trigger, service)
        self._services[service] = client
        if not self.wait_for(client.service_is_ready, timeout):
            return None
        future = client.call_async(Trigger.Request())
        return future.result() if self.wait_for(future.done, timeout) else None

    def offer(self, bundle: Path) -> None:
        """Announce a bundle as a learner does."""
        if self._offers is None:
            self._offers = self.node.create_publisher(
                String, "learner/bundle", messages.LATCHED_EVENTS
            )
        self._offers.publish(String(data=json.dumps({"path": str(bundle)})))

    def wait_for(self, condition: Callable[[], bool], timeout: float, check=lambda: None) -> bool:
        """Spin until the condition holds; False after `timeout` seconds. `check` may raise."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                return False
            check()
            self.spin_once(0.1)
        return True

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_status(self, message: String) -> None:
        self.learner = json.loads(message.data)

    def _on_steps(self, message: Int64) -> None:
        self.policy_steps = message.data

    def _on_version(self, message: Int64) -> None:
        self.policy_version = message.data

    def _on_success(self, message: Float64) -> None:
        self.success_rate = message.data

    def _on_episode(self, message: Bool) -> None:
        self.episodes += 1

    def _on_returned(self, message: String) -> None:
        self.returned = json.loads(message.data)
