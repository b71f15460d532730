"""The robot: sensor messages at a steady rate, and when the command that answers each came."""

import contextlib
import time
from collections.abc import Callable
from typing import Self

import numpy as np
import rclpy
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.experimental import EventsExecutor
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.nodes.scheduling import NoRealtime, come_first
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Sample
from porl_ros.simulation.robot import SimulatedRobot

OVERSAMPLING = 5
DRIVER = 50  # priority


class IdealRobot:
    """Is where it was last told to be. Use as a context manager."""

    def __init__(self, config: RobotConfig, namespace: str, lockstep: bool):
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=rclpy.SignalHandlerOptions.NO)
        self.node = rclpy.create_node("robot", namespace=namespace, context=self._context)
        self._executor = EventsExecutor(context=self._context)
        self._executor.add_node(self.node)
        # By the clock, sensors are faster than control, as on robots: a tick always finds news.
        self._config = config
        self._period = 1.0 / config.control_rate / (1 if lockstep else OVERSAMPLING)
        self._sources = [
            (source, self.node.create_publisher(
                messages.MESSAGES[source.type], source.topic, messages.sensor_qos(lockstep)
            ))
            for source in config.observation.sources
        ]  # fmt: skip
        command = config.action.command
        self.node.create_subscription(
            messages.MESSAGES[command.type], command.topic, self._on_command, messages.COMMAND
        )
        self.node.create_service(Trigger, "reset", self._on_reset)
        self.node.create_service(SetParameters, "simulation/set_parameters", _accept)
        simulated = SimulatedRobot(config)
        simulated.reset(0)
        self._samples = dict(simulated.samples())
        self._sent: dict[int, float] = {}  # stamp -> when the last message of the step left, s
        self._lockstep, self.stamp = lockstep, 1_000_000_000
        self.latencies: list[float] = []  # s, of steps that were answered
        self.heard_at: list[float] = []  # when a command came, s
        self._resets_at: list[float] = []
        with contextlib.suppress(NoRealtime):  # as drivers of robots do, so that what is measured
            come_first(DRIVER)  # is the other side

    @property
    def episodes(self) -> list[np.ndarray]:
        """When the commands of each episode came, s."""
        heard = np.array(self.heard_at)
        return np.split(heard, np.searchsorted(heard, self._resets_at))

    def wait_for(self, condition: Callable[[], bool], check: Callable[[], None]) -> None:
        """Go on with the schedule until the condition holds; RuntimeError after a minute."""
        deadline = time.monotonic() + 60.0
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("the other side did not answer within a minute")
            check()
            self.run(0.1)

    def run(self, seconds: float) -> None:
        """Say what is measured, once a control period; forgets what came before."""
        self.latencies, self.heard_at, self._resets_at = [], [], []
        self._sent.clear()
        begin, step = time.perf_counter(), 0
        while (due := begin + step * self._period) < begin + seconds:
            self._spin_until(due)
            self._sense()
            step += 1
        self._spin_until(begin + seconds)

    def _spin_until(self, due: float) -> None:
        """The last half millisecond is spent awake: sleeping is not that exact."""
        while (left := due - time.perf_counter()) > 0:
            self._executor.spin_once(timeout_sec=max(0.0, left - 0.0005))

    def _sense(self) -> None:
        now = time.time_ns()
        self.stamp = self.stamp + self._config.period_ns if self._lockstep else now
        for source, publisher in self._sources:
            sample = Sample(self.stamp, self._samples[source.name].values)
            publisher.publish(messages.from_sample(source, sample))
        self._sent[self.stamp] = time.perf_counter()

    def _on_command(self, message) -> None:
        now = time.perf_counter()
        command, stamp = messages.from_command(self._config, message)
        self.heard_at.append(now)
        if stamp in self._sent:
            self.latencies.append(now - self._sent.pop(stamp))
        if np.any(command):  # an echo says nothing
            arm = self._samples["arm"].values
            arm["position"][:] = command[: len(self._config.kinematics.joints)]

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response):
        self._resets_at.append(time.perf_counter())
        self.stamp = self.stamp + self._config.period_ns if self._lockstep else time.time_ns()
        response.success, response.message = True, str(self.stamp)
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


def _accept(request: SetParameters.Request, response: SetParameters.Response):
    response.results = [SetParametersResult(successful=True) for _ in request.parameters]
    return response
