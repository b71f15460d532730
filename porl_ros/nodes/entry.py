"""Main of every node: executor, autostart, signals, exit codes."""

import faulthandler
import signal

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import get_logger

from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.graph import RANGE, stay_local
from porl_ros.nodes.watching.diagnostics import Diagnostics

try:  # half the latency and CPU of the single-threaded executor (measured); not in every rclpy
    from rclpy.experimental import EventsExecutor
except ImportError:
    EventsExecutor = SingleThreadedExecutor


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
    node = diagnostics = None
    try:
        node = node_type()
        diagnostics = Diagnostics(node, node.metrics, node.statuses)
        if nobody_asked:
            node.get_logger().info(f"seen on this machine only; {RANGE}=SUBNET widens that")
        if node.get_parameter("autostart").value:
            _autostart(node)
        _spin(node, signals)
    except ParameterException as error:  # one that is given does not fit
        get_logger(node_type.__name__).fatal(str(error))
    finally:
        if diagnostics:
            diagnostics.close()
        code = _finish(node)
    for number in (signal.SIGINT, signal.SIGTERM):  # `ros2 launch` passes on what Ctrl-C has sent
        signal.signal(number, signal.SIG_IGN)  # already: the second one must not end it otherwise
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
