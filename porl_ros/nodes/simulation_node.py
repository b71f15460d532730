"""MuJoCo as a robot: publishes sensors and the clock, obeys commands, resets on request.

Lock-step: stands still until the command comes that answers its last observation. Paced: runs by
the wall clock, at any real-time factor, whatever is or is not commanded.
"""

import time

from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.entry import run
from porl_ros.nodes.parameters import Changes
from porl_ros.nodes.settings import SimulationSettings
from porl_ros.nodes.watching.health import Level, Rate, Status
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot

BEHIND = 0.9  # share of the real-time factor under which it is too slow
RESEND_AFTER = 0.5  # lock-step: seconds without a command after which the observation is sent again


class SimulationNode(PorlNode):
    """See the module. Episodes are begun by the service `reset`, with the parameter `seed`."""

    def __init__(self):
        super().__init__("simulation")
        self._robot: SimulatedRobot | None = None
        self._active = False
        self._speed = Rate()

    def defaults(self) -> SimulationSettings:
        return SimulationSettings()

    def setup(self) -> None:
        config = load_robot(self.settings.robot_config)
        self._robot = SimulatedRobot(config, self.settings.variant or None)
        self._lockstep = self.settings.mode == "lockstep"
        if self._lockstep and self._robot.variant.dropped:
            self._robot.set_variant(self._robot.variant.model_copy(update={"dropped": 0.0}))
            self.get_logger().info("lock-step needs every sample: this cell's dropped is 0 here")
        self._sources = config.observation.sources
        quality = messages.sensor_qos(self._lockstep)
        self._sensors = [
            self.create_publisher(messages.MESSAGES[s.type], s.topic, quality)
            for s in self._sources
        ]
        self._clock_topic = self.create_publisher(Clock, "/clock", messages.qos(reliable=False))
        command = config.action.command
        self.create_subscription(
            messages.MESSAGES[command.type], command.topic, self._on_command, messages.COMMAND
        )
        self.create_service(Trigger, "reset", self._on_reset)
        self._substeps = self._substeps_per_message()
        self._samples = self._robot.reset(self.settings.seed)
        self._command = self._robot.command

    def start(self) -> None:
        self._active, self._answered = True, True
        if self._lockstep:
            self.steady_timer(RESEND_AFTER, self._resend)
        else:
            self._pace = self.steady_timer(self._period, self._advance)
        self._publish()
        self.get_logger().info(
            f"{self.settings.mode} simulation of {self._robot.config.name} is up"
        )

    def stop(self) -> None:
        self._active = False

    def tuned(self, changes: Changes) -> None:
        if "real_time_factor" in changes and self._active and not self._lockstep:
            self._pace.timer_period_ns = round(self._period * 1e9)
        super().tuned(changes)

    def diagnose(self) -> list[Status]:
        if not self._active:
            return []
        simulated = self._robot.time_ns / 1e9
        factor, wanted = self._speed(simulated, time.monotonic()), self.settings.real_time_factor
        slow = not self._lockstep and factor < BEHIND * wanted
        text = f"{factor:.3g} simulated seconds a second"
        text += f" of {wanted:g}; lower real_time_factor" if slow else ""
        values = {"real_time_factor": factor, "simulated_seconds": simulated}
        return [Status("simulation", Level.WARN if slow else Level.OK, text, values)]

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin the episode of parameter `seed`; answers with its first samples' stamp [ns]."""
        response.success = self._active
        if not self._active:
            response.message = "the simulation is not active"
            return response
        self._samples = self._robot.reset(self.settings.seed)
        self._command = self._robot.command  # holds the robot where it stands
        response.message = str(self._robot.time_ns)
        self._publish()
        return response

    def _on_command(self, message) -> None:
        try:
            command, stamp = messages.from_command(self._robot.config, message)
        except messages.MessageError as error:
            self.fail(error)  # two robot configs in one cell: nothing sensible can follow
            return
        if not self._active:
            return
        if not self._lockstep:
            self._command = command
        elif stamp in (-1, self._robot.time_ns):
            self._samples = self._robot.step(command)
            self._publish()

    def _advance(self) -> None:
        if self._active:
            self._robot.advance(self._command, self._substeps)
            self._samples = self._robot.samples()
            self._publish()

    def _resend(self) -> None:
        if self._active and self._answered:
            self._answered = False
        elif self._active:
            self._publish()

    def _publish(self) -> None:
        self._answered = True
        clock = Clock()
        messages.set_stamp(clock.clock, self._robot.time_ns)
        self._clock_topic.publish(clock)
        for source, publisher in zip(self._sources, self._sensors, strict=True):
            publisher.publish(messages.from_sample(source, self._samples[source.name]))

    def _substeps_per_message(self) -> int:
        return max(1, round(1.0 / self.settings.sensor_rate / self._robot.scene.timestep))

    @property
    def _period(self) -> float:
        """Paced: seconds on the wall between two messages of a sensor."""
        simulated = self._substeps * self._robot.scene.timestep
        return simulated / self.settings.real_time_factor


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(SimulationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
