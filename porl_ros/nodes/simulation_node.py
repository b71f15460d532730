"""MuJoCo as a robot: publishes sensors and the clock, obeys commands, resets on request.

Lock-step: stands still until the command comes that answers its last observation. Paced: runs by
the wall clock, at any real-time factor, whatever is or is not commanded.
"""

from rcl_interfaces.msg import ParameterDescriptor
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from porl_ros.errors import ConfigError
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, run
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot

RESEND_AFTER = 0.5  # lock-step: seconds without a command after which the observation is sent again


class SimulationNode(PorlNode):
    """See the module. Episodes are begun by the service `reset`, with the parameter `seed`."""

    def __init__(self):
        super().__init__("simulation")
        self.parameter("robot_config", "ur5e_insert", "path or name of the robot config")
        self.parameter("variant", "", "cell of the scene; empty: the robot config's")
        self.parameter("mode", "lockstep", "lockstep or paced")
        self.parameter("real_time_factor", 1.0, "paced: simulated seconds a second")
        self.parameter("sensor_rate", 50.0, "paced: sensor messages a simulated second [Hz]")
        seed = "seed of the next episode; may be set at any time"
        self.declare_parameter("seed", 0, ParameterDescriptor(description=seed))
        self._robot: SimulatedRobot | None = None
        self._active = False

    def setup(self) -> None:
        config = load_robot(self.value("robot_config"))
        self._robot = SimulatedRobot(config, self.value("variant") or None)
        self._lockstep = self.choice("mode", ("lockstep", "paced")) == "lockstep"
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
        self._samples = self._robot.reset(self.value("seed"))
        self._command = self._robot.command

    def start(self) -> None:
        self._active, self._answered = True, True
        if self._lockstep:
            self.steady_timer(RESEND_AFTER, self._resend)
        else:
            seconds = self._substeps * self._robot.scene.timestep / self.value("real_time_factor")
            self.steady_timer(seconds, self._advance)
        self._publish()
        self.get_logger().info(
            f"{self.value('mode')} simulation of {self._robot.config.name} is up"
        )

    def stop(self) -> None:
        self._active = False

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Begin the episode of parameter `seed`; answers with its first samples' stamp [ns]."""
        response.success = self._active
        if not self._active:
            response.message = "the simulation is not active"
            return response
        self._samples = self._robot.reset(self.value("seed"))
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
        rate, factor = self.value("sensor_rate"), self.value("real_time_factor")
        if rate <= 0 or factor <= 0:
            raise ConfigError(
                f"sensor_rate = {rate}, real_time_factor = {factor}: both must be over 0"
            )
        return max(1, round(1.0 / rate / self._robot.scene.timestep))


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(SimulationNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
