"""Asking the simulation for the next episode."""

from collections.abc import Callable

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from std_srvs.srv import Trigger

PATIENCE = 5.0  # seconds after which an unanswered request is made again


class ResetClient:
    """Sets the simulation's seed, calls its `reset`, and says with which stamp the episode begins.

    Everything happens in the executor's thread. `now` gives seconds of a steady clock.
    """

    def __init__(self, node: Node, now: Callable[[], float], on_begun: Callable[[int], None]):
        self._node, self._now, self._on_begun = node, now, on_begun
        self._reset = node.create_client(Trigger, "reset")
        self._seed = node.create_client(SetParameters, "simulation/set_parameters")
        self._asked_at: float | None = None
        self._request = 0  # answers to earlier requests are not ours any more

    def ask(self, seed: int) -> None:
        """Ask for the episode of this seed; call again now and then until it has begun."""
        if self._asked_at is not None and self._now() - self._asked_at < PATIENCE:
            return
        if not (self._reset.service_is_ready() and self._seed.service_is_ready()):
            self._node.get_logger().info(
                f"waiting for the service {self._reset.srv_name} of a simulation",
                throttle_duration_sec=5.0,
            )
            return
        self._asked_at, self._request = self._now(), self._request + 1
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
        number = self._request
        self._seed.call_async(request).add_done_callback(lambda _: self._seeded(number))

    def cancel(self) -> None:
        """Forget what was asked; its answer will be ignored."""
        self._asked_at, self._request = None, self._request + 1

    def _seeded(self, number: int) -> None:
        if number == self._request:
            future = self._reset.call_async(Trigger.Request())
            future.add_done_callback(lambda done: self._answered(number, done.result()))

    def _answered(self, number: int, response: Trigger.Response | None) -> None:
        if number != self._request:
            return
        self._asked_at = None
        if response is None or not response.success or not response.message.isdecimal():
            reason = response.message if response else "no answer"
            self._node.get_logger().warning(
                f"the simulation refused to reset: {reason}; asking again",
                throttle_duration_sec=5.0,
            )
            return
        self._on_begun(int(response.message))
