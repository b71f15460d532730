"""Serves the policy at the control rate, records every transition, swaps in new bundles.

Control comes first: this process never trains, never writes to disk in the control thread, and
reads bundles in a thread of their own.
"""

from pathlib import Path

from std_msgs.msg import Bool, Float64, Int64

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, run, steady_seconds
from porl_ros.nodes.interaction import EpisodeResult, Interaction
from porl_ros.nodes.learner_link import LearnerLink
from porl_ros.nodes.no_regret import NoRegret
from porl_ros.nodes.resets import ResetClient
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.policy.saturation import saturation_warning
from porl_ros.replay import Chunk, ReplayWriter, read_store, robot_schema
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.robot.loading import load_robot
from porl_ros.robot.observation import Sample
from porl_ros.simulation.env import SEEDS_APART


class PolicyNode(PorlNode):
    """See the module. All but reading bundles and writing the store is in the executor's thread."""

    def __init__(self):
        super().__init__("policy")
        self.parameter("robot_config", "ur5e_insert", "path or name of the robot config")
        self.parameter("bundle", "", "policy bundle to begin with")
        self.parameter("store", "", "replay store to record in; made if it is not there")
        self.parameter("mode", "lockstep", "lockstep (with a simulation) or paced (by the clock)")
        self.parameter("device", "auto", "where the policy is computed: auto, cpu or cuda")
        self.parameter("explore", True, "add the bundle's exploration noise to actions")
        self.parameter("seed", 0, "seed of the exploration noise and of the episodes")
        self.parameter(
            "learner", True, "swap in a learner's bundles; in lock-step, await its grants"
        )
        self.parameter("max_steps", 0, "stop acting after this many control steps; 0: never")
        self.parameter(
            "false_alarms", 0.1, "chance that a policy no worse than the base is sent back to it"
        )
        self._writer: ReplayWriter | None = None
        self._interaction: Interaction | None = None
        self._learner: LearnerLink | None = None
        self._no_regret: NoRegret | None = None
        self._active = False

    # Lifecycle

    def setup(self) -> None:
        self._config = config = load_robot(self.value("robot_config"))
        self._lockstep = self.choice("mode", ("lockstep", "paced")) == "lockstep"
        controller = Controller(config)
        self._runtime = PolicyRuntime(
            config, self.value("device"), self.value("explore"), self.value("seed")
        )
        self._runtime.swap(self._runtime.load(self.required("bundle")))
        shares = self._runtime.bundle.manifest.saturation
        if warning := saturation_warning(shares, "its demonstrations"):
            self.get_logger().warning(warning)
        self._writer = _open_writer(self, config)
        self._interaction = Interaction(controller, self._runtime, self._writer)
        self._samples: dict[str, Sample] = {}
        self._first_stamp: int | None = None  # of the episode's first samples; None: not begun yet
        self._acted_stamp = -1  # of the samples that were last acted on
        self._perceived_stamp = -1
        self._last_command = None
        self._steps_before = 0
        self._connect(config)
        if self.value("learner"):
            self._take_up(read_store(Path(self.value("store"))))

    def start(self) -> None:
        self._active = True
        self.steady_timer(0.5, self._housekeeping)
        if not self._lockstep:
            self.create_timer(1.0 / self._config.control_rate, self._paced_tick)
        self._announce_version()
        self.get_logger().info(
            f"policy version {self._runtime.version} is up for {self._config.name}; recording to "
            f"{self.value('store')}, run {self._writer.run}"
        )

    def stop(self) -> None:
        """No further command: the last one holds a position-controlled robot where it is."""
        self._active = False

    def teardown(self) -> None:
        if self._learner:
            self._learner.close()
        if self._interaction:
            self._interaction.abort()
        if self._writer:
            self._writer.close()
        self._writer = self._interaction = self._learner = self._no_regret = None

    def _connect(self, config: RobotConfig) -> None:
        quality = messages.sensor_qos(self._lockstep)
        for source in config.observation.sources:
            kind = messages.MESSAGES[source.type]
            self.create_subscription(kind, source.topic, self._receiver(source), quality)
        command = config.action.command
        kind = messages.MESSAGES[command.type]
        self._command = self.create_publisher(kind, command.topic, messages.COMMAND)
        self._resets = ResetClient(self, steady_seconds, self._on_episode_begun)
        if self.value("learner"):
            self._learner = LearnerLink(self, self._runtime, self._lockstep, self._try_to_act)
        self._version_topic = self.create_publisher(Int64, "policy/version", messages.LATCHED)
        self._steps_topic = self.create_publisher(Int64, "policy/steps", messages.LATCHED)
        self._success = self.create_publisher(Bool, "policy/episode_success", messages.EVENTS)
        self._rate = self.create_publisher(Float64, "policy/success_rate", messages.EVENTS)

    def _take_up(self, past: list[Chunk]) -> None:
        """Go on where earlier runs in the store ended: grants count its steps."""
        self._steps_before = sum(len(chunk.rows) for chunk in past)
        self._no_regret = NoRegret(self, self._runtime, self._learner, past)

    # Samples and ticks

    def _receiver(self, source):
        def receive(message) -> None:
            try:
                self._samples[source.name] = messages.to_sample(source, message)
            except messages.MessageError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
                return
            if self._lockstep:
                self._lockstep_tick()

        return receive

    def _lockstep_tick(self) -> None:
        """Step as soon as every source carries the same stamp, and it is a new one."""
        stamps = {sample.stamp for sample in self._samples.values()}
        if len(self._samples) < len(self._config.observation.sources) or len(stamps) > 1:
            return
        stamp = stamps.pop()
        if stamp < self._acted_stamp:
            self._on_clock_jumped_back()
        elif stamp == self._acted_stamp:
            self._answer_again()
        else:
            self._step(stamp)

    def _paced_tick(self) -> None:
        """Step by the clock, on the latest samples; too old a sample holds the robot."""
        if self._first_stamp is None:
            return
        now = self.get_clock().now().nanoseconds
        if late := _late_source(self._config, self._samples, now):
            self.get_logger().warning(f"holding: {late}", throttle_duration_sec=2.0)
            return
        stamps = [sample.stamp for sample in self._samples.values()]
        if min(stamps) >= self._first_stamp and max(stamps) > self._acted_stamp:
            self._step(max(stamps))

    def _step(self, stamp: int) -> None:
        """Perceive, unless these samples are perceived already, then act if that is allowed."""
        if not self._active or self._first_stamp is None or stamp < self._first_stamp:
            return
        if stamp != self._perceived_stamp:
            self._perceived_stamp = stamp
            if result := self._interaction.perceive(self._samples):
                self._on_episode_ended(result)
                return
        self._try_to_act()

    def _try_to_act(self) -> None:
        """Act on what was perceived, unless the learner has not granted the step or its bundle."""
        if not (self._active and self._interaction.running):
            return
        if self._perceived_stamp <= self._acted_stamp:
            return  # answered already
        done, limit = self._interaction.steps, self.value("max_steps")
        step, learner = self._steps_before + done, self._learner
        if (limit and done >= limit) or (learner and not learner.grants(step)):
            self._writer.request_flush()  # the learner waits for what we have
            self._steps_topic.publish(Int64(data=done))
        elif not learner or learner.prepare(step):
            self._act()

    def _act(self) -> None:
        if self._runtime.version != self._announced_version:
            self._announce_version()
        self._acted_stamp = self._perceived_stamp
        act = self._interaction.decide()
        self._last_command = messages.to_command(self._config, act.command, self._acted_stamp)
        self._command.publish(self._last_command)
        if act.interventions:
            limits = ", ".join(act.interventions)
            self.get_logger().warning(f"safety filter: {limits}", throttle_duration_sec=5.0)

    def _answer_again(self) -> None:
        """The simulation shows an observation again: our answer was lost."""
        if self._active and self._last_command is not None:
            self._command.publish(self._last_command)

    # Episodes

    def _on_episode_ended(self, result: EpisodeResult) -> None:
        self._success.publish(Bool(data=result.success))
        self._rate.publish(Float64(data=self._interaction.recent_success))
        self._steps_topic.publish(Int64(data=self._interaction.steps))
        if self._no_regret:
            self._no_regret.episode_ended(result.policy_version, result.success)
        self._ask_for_episode()

    def _ask_for_episode(self) -> None:
        self._first_stamp, self._last_command = None, None
        self._resets.ask(self.value("seed") * SEEDS_APART + self._interaction.episode + 1)

    def _on_episode_begun(self, stamp: int) -> None:
        self._first_stamp = stamp
        if self._lockstep:
            self._lockstep_tick()

    def _on_clock_jumped_back(self) -> None:
        self.get_logger().warning("the clock went back (simulation restarted?): a new episode")
        self._interaction.abort()
        self._samples.clear()
        self._acted_stamp = self._perceived_stamp = -1
        self._resets.cancel()
        self._ask_for_episode()

    def _announce_version(self) -> None:
        self._announced_version = self._runtime.version
        if self._no_regret:
            self._no_regret.policy_changed()
        self._version_topic.publish(Int64(data=self._announced_version))

    # Housekeeping, twice a second

    def _housekeeping(self) -> None:
        if not self._active:
            return
        if self._writer.fault:
            self.get_logger().error(
                f"not recording: {self._writer.fault}; control goes on", throttle_duration_sec=10.0
            )
        if self._first_stamp is None:
            self._ask_for_episode()
        if self._learner:
            self._learner.check()


def _late_source(config: RobotConfig, samples: dict[str, Sample], now: int) -> str:
    """Which source cannot be acted on, and why; empty when all can."""
    for source in config.observation.sources:
        sample = samples.get(source.name)
        if sample is None:
            return f"{source.topic}: nothing came yet"
        age = (now - sample.stamp) / 1e9
        if age > source.max_age:
            return f"{source.topic}: is {age:.2f} s old, at most {source.max_age} s is acted on"
    return ""


def _open_writer(node: PorlNode, config: RobotConfig) -> ReplayWriter:
    robot = node.get_namespace().strip("/").replace("/", "_") or config.name
    return ReplayWriter(Path(node.required("store")), robot_schema(config), robot)


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PolicyNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
