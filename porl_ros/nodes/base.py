"""What all nodes share: parameters, lifecycle with autostart, executor, exit codes."""

import faulthandler
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger

from porl_ros.errors import ConfigError, PorlError
from porl_ros.nodes.graph import RANGE, stay_local

try:  # half the latency and CPU of the single-threaded executor (measured); not in every rclpy
    from rclpy.experimental import EventsExecutor
except ImportError:
    EventsExecutor = SingleThreadedExecutor

STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def steady_seconds() -> float:
    """Seconds of a clock that never jumps."""
    return STEADY.now().nanoseconds / 1e9


def stand_back(niceness: int) -> None:
    """Let whoever else wants the processor have it before this thread, and what it starts later.
    Raises ConfigError."""
    if not 0 <= niceness <= 19:
        raise ConfigError(f"parameter niceness = {niceness}: must be 0 to 19")
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):  # to go back takes a privilege
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


class PorlNode(LifecycleNode):
    """A lifecycle node whose subclasses fill `setup`, `start`, `stop` and `teardown`.

    An error in `setup` or `start` is told in words and fails the transition; an error later, given
    to `fail`, ends the process with exit code 1. Everything runs in the executor's thread.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self.exit_code: int | None = None
        self.parameter("autostart", True, "configure and activate without being asked")

    def parameter(self, name: str, default: Any, description: str, read_only: bool = False) -> None:
        """Declare a parameter that is read at configure, or, if `read_only`, at the start."""
        descriptor = ParameterDescriptor(description=description, read_only=read_only)
        self.declare_parameter(name, default, descriptor)

    def value(self, name: str) -> Any:
        """The present value of a parameter."""
        return self.get_parameter(name).value

    def required(self, name: str) -> str:
        """The value of a parameter that has no default; ConfigError when it is empty."""
        if not self.value(name):
            raise ConfigError(f"parameter {name} is not set: give it with -p {name}:=PATH")
        return self.value(name)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The value of a parameter that must be one of a few; ConfigError lists them."""
        if self.value(name) not in choices:
            raise ConfigError(f"{name} = '{self.value(name)}': must be {' or '.join(choices)}")
        return self.value(name)

    def setup(self) -> None:
        """Validate everything, make everything; PorlError when something does not fit."""

    def start(self) -> None:
        """Begin to act."""

    def stop(self) -> None:
        """Stop acting; the last thing on the wire must be safe."""

    def teardown(self) -> None:
        """Let go of everything that `setup` made."""

    def on_configure(self, state) -> TransitionCallbackReturn:
        self._before_setup = self._entities()
        result = self._guarded(self.setup)
        if result != TransitionCallbackReturn.SUCCESS:  # leave nothing half made behind
            self.teardown()
            self._destroy_since(self._before_setup)
        return result

    def on_activate(self, state) -> TransitionCallbackReturn:
        super().on_activate(state)
        self._before_start = self._entities()
        return self._guarded(self.start)

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        self.stop()
        self._destroy_since(self._before_start)
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        self.teardown()
        self._destroy_since(self._before_setup)
        return TransitionCallbackReturn.SUCCESS

    def _entities(self) -> list[tuple[Callable, object]]:
        """Everything the node has on the graph, with what destroys it."""
        return [
            *((self.destroy_publisher, entity) for entity in self.publishers),
            *((self.destroy_subscription, entity) for entity in self.subscriptions),
            *((self.destroy_service, entity) for entity in self.services),
            *((self.destroy_client, entity) for entity in self.clients),
            *((self.destroy_timer, entity) for entity in self.timers),
        ]

    def _destroy_since(self, before: list[tuple[Callable, object]]) -> None:
        """Destroy what `setup` or `start` has made, so that they can be called again."""
        known = {id(entity) for _, entity in before}
        for destroy, entity in self._entities():
            if id(entity) not in known:
                destroy(entity)

    def on_shutdown(self, state) -> TransitionCallbackReturn:
        self.shut_down()
        return TransitionCallbackReturn.SUCCESS

    def shut_down(self) -> None:
        """Stop and let go, from whichever state."""
        self.stop()
        self.teardown()

    def fail(self, error: Exception) -> None:
        """Report an error that cannot be recovered from, and end the process."""
        self.get_logger().fatal(str(error))
        self.exit_code = 1

    def steady_timer(self, period: float, callback: Callable[[], None]):
        """A timer that neither simulated time nor a jumping clock can stop; seconds."""
        return self.create_timer(period, callback, clock=STEADY)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Have the executor's thread call this; from any thread. Nothing without an executor."""
        if self.executor:
            self.executor.create_task(callback)

    def _guarded(self, act: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            act()
        except PorlError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would turn it into a silent failure
            self.get_logger().fatal(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS


def run(node_type: type[PorlNode], args: list[str] | None = None) -> int:
    """Main of a node; returns the exit code. SIGINT and SIGTERM end it in order, with 0.

    rclpy's own handlers would shut the context down under a callback that publishes, and nothing
    could be sent on the way down; KeyboardInterrupt would cut a row in the middle. So a signal is
    only noted, and looked at between two callbacks.
    """
    faulthandler.enable()  # a crash in native code says in which line it was called
    nobody_asked = stay_local()
    rclpy.init(args=args, signal_handler_options=rclpy.SignalHandlerOptions.NO)
    signals: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.append(number))
    node = None
    try:
        node = node_type()
        if nobody_asked:
            node.get_logger().info(f"seen on this machine only; {RANGE}=SUBNET widens that")
        if node.value("autostart"):
            _autostart(node)
        _spin(node, signals)
    except ParameterException as error:  # one that is given does not fit
        get_logger(node_type.__name__).fatal(str(error))
    finally:
        code = _finish(node)
    return code


def _autostart(node: PorlNode) -> None:
    for transition in (node.trigger_configure, node.trigger_activate):
        if transition() != TransitionCallbackReturn.SUCCESS:
            node.exit_code = 1
            return


def _spin(node: PorlNode, signals: list[int]) -> None:
    executor = EventsExecutor()
    executor.add_node(node)
    try:
        while not signals and node.exit_code is None:
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.remove_node(node)
        executor.shutdown()


def _finish(node: PorlNode | None) -> int:
    if node is None:
        return 1
    node.shut_down()
    code = node.exit_code or 0
    node.destroy_node()
    rclpy.try_shutdown()
    return code
