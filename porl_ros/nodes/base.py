"""What all nodes share: parameters, lifecycle, what becomes of errors."""

import gc
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from std_msgs.msg import String

from porl_ros.errors import ConfigError, PorlError
from porl_ros.nodes import messages
from porl_ros.nodes.parameters import Changes, Parameters
from porl_ros.nodes.settings import NodeSettings
from porl_ros.nodes.watching.health import Status, lifecycle
from porl_ros.validation import audit

STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def steady_seconds() -> float:
    """Seconds of a clock that never jumps."""
    return STEADY.now().nanoseconds / 1e9


class PorlNode(LifecycleNode):
    """A lifecycle node whose subclasses fill `setup`, `start`, `stop` and `teardown`.

    An error in `setup` or `start` is told in words and fails the transition. An error later is
    given to `fail`. Everything runs in the executor's thread.
    """

    metrics: tuple[str, ...] = ()  # values of `diagnose` that are topics, too

    settings: NodeSettings  # in force; replaced whole, so that any thread may read it

    def __init__(self, name: str):
        super().__init__(name)
        self.exit_code: int | None = None
        self.phase = "unconfigured"  # of the lifecycle
        self._failed = False
        self._books = ThreadPoolExecutor(1, "books")  # the log, the audit log, what is in force
        self.settings = self.defaults()
        self._given = Parameters(self, self.settings, self.check, self._on_change)
        self._in_force = self.create_publisher(String, self.config_topic, messages.LATCHED)

    # Settings

    config_topic = "~/config"  # says what is in force

    def defaults(self) -> NodeSettings:
        """The settings where nothing else is given."""
        return NodeSettings()

    def required(self, name: str) -> str:
        """A setting that has no default; ConfigError when it is empty."""
        if not (value := getattr(self.settings, name)):
            raise ConfigError(f"parameter {name} is not set: give it with -p {name}:=PATH")
        return value

    def check(self, wanted: NodeSettings) -> None:
        """Raise ConfigError for settings that the node, being configured, cannot take."""

    def tuned(self, changes: Changes) -> None:
        """Some live settings are others now: old and new by name. Has everybody told, which takes
        longer than a control thread should stand aside."""
        self._books.submit(self._tell_change, changes, self.progress())

    def _tell_change(self, changes: Changes, progress: dict[str, int]) -> None:
        self.tell_settings()
        for name in changes.keys() - self.settings.routine:
            old, new = changes[name]
            self.get_logger().info(f"{name}: {old} -> {new}")
            self._append("parameter", {"name": name, "old": old, "new": new, **progress})

    def show(self, settings: NodeSettings) -> None:
        """Let live settings be these: they are in force already."""
        self._given.show(settings)

    def progress(self) -> dict[str, int]:
        """How far the run is, for the audit log."""
        return {}

    def tell_settings(self) -> None:
        """Publish what is in force. Any thread."""
        self._in_force.publish(String(data=self.settings.model_dump_json()))

    def write_down(self, event: str, **facts: object) -> None:
        """Add to the audit log soon; any thread. Who asked for it ROS does not say: of services one
        knows the answerer only."""
        self._books.submit(self._append, event, facts)

    def _append(self, event: str, facts: dict[str, object]) -> None:
        try:
            audit.append(event, node=self.get_fully_qualified_name(), **facts)
        except audit.AuditError as error:  # to go on is worth more than a line
            self.get_logger().error(str(error))

    def _on_change(self, settings: NodeSettings, changes: Changes) -> None:
        self.settings = settings
        self.tuned(changes)

    # Lifecycle

    def setup(self) -> None:
        """Validate everything, make everything; PorlError when something does not fit."""

    def start(self) -> None:
        """Begin to act."""

    def stop(self) -> None:
        """Stop acting; the last thing on the wire must be safe."""

    def teardown(self) -> None:
        """Let go of everything that `setup` made."""

    def on_configure(self, state) -> TransitionCallbackReturn:
        self._before_setup, self._failed = self._entities(), False
        result = self._guarded(self._set_up)
        if result == TransitionCallbackReturn.SUCCESS:
            self.phase = "inactive"
        elif result == TransitionCallbackReturn.FAILURE:  # leave nothing half made behind
            self._let_go()
        return result

    def on_activate(self, state) -> TransitionCallbackReturn:
        super().on_activate(state)
        self._before_start = self._entities()
        result = self._guarded(self.start)
        if result == TransitionCallbackReturn.SUCCESS:
            self.phase = "active"
        elif result == TransitionCallbackReturn.FAILURE:
            self.stop()
            self._destroy_since(self._before_start)
        return result

    def on_deactivate(self, state) -> TransitionCallbackReturn:
        if self._failed:
            return TransitionCallbackReturn.ERROR
        self.stop()
        self._destroy_since(self._before_start)
        self.phase = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state) -> TransitionCallbackReturn:
        self._let_go()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state) -> TransitionCallbackReturn:
        """Whatever has failed: stand still, let go of everything, and wait to be configured."""
        super().on_error(state)
        return self._guarded(lambda: (self.stop(), self._let_go()))

    def _set_up(self) -> None:
        self.settings = self._given.begin()
        self.setup()
        self.tell_settings()

    def _let_go(self) -> None:
        self.teardown()
        self._given.end()
        self._destroy_since(self._before_setup)
        self.phase = "unconfigured"
        self.call_soon(_free_memory)  # once the executor has let go, too

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
        self.phase = "finalized"
        return TransitionCallbackReturn.SUCCESS

    def shut_down(self) -> None:
        """Stop and let go, from whichever state."""
        self.stop()
        self.teardown()

    def destroy_node(self) -> None:
        self._books.shutdown()
        super().destroy_node()

    def fail(self, error: Exception) -> None:
        """Report an error after which it cannot go on as it is. The process ends with exit code 1,
        for a launch file to start it again; or where somebody else moves it through its lifecycle
        (`autostart` is false), it becomes unconfigured by `on_error` and can be configured."""
        self.get_logger().fatal(str(error))
        if self.settings.autostart:
            self.exit_code = 1
        elif not self._failed:
            self._failed = True
            self.call_soon(
                self.trigger_deactivate if self.phase == "active" else self.trigger_cleanup
            )

    def statuses(self) -> list[Status]:
        """How it is."""
        return [lifecycle(self.phase), *self.diagnose()]

    def diagnose(self) -> list[Status]:
        """How it is, besides its lifecycle. Called once a second in the diagnostics' thread, in
        every state: reads what other threads leave behind, and waits for nobody."""
        return []

    def steady_timer(self, period: float, callback: Callable[[], None]):
        """A timer that neither simulated time nor a jumping clock can stop; seconds."""
        return self.create_timer(period, callback, clock=STEADY)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Have the executor's thread call this; from any thread. Nothing without an executor."""
        if self.executor:
            self.executor.create_task(partial(self._safely, callback))

    def _safely(self, callback: Callable[[], None]) -> None:
        """rclpy's events executor (9.1) crashes when a task raises."""
        try:
            callback()
        except Exception as error:
            self.get_logger().fatal(traceback.format_exc())
            self.fail(error)

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


def _free_memory() -> None:
    """What was let go of is freed now, for a GPU has other users. A node that has not brought torch
    has nothing there."""
    gc.unfreeze()
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.cuda.empty_cache()
