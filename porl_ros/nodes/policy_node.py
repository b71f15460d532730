"""Serves the policy at the control rate, records every transition, swaps in new bundles.

Control comes first: this process never trains, never writes to disk in the control thread, and
reads bundles in a thread of their own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.time import Time
from std_msgs.msg import Bool, Float64, Int64, Int64MultiArray, String
from std_srvs.srv import Trigger

from porl_ros.errors import ConfigError, PorlError
from porl_ros.learning.finetuning import WITHOUT_LIMIT, Grant, check_base
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, run
from porl_ros.nodes.interaction import EpisodeResult, Interaction
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import ReplaySchema, ReplayWriter
from porl_ros.robot.config import RobotConfig, load_robot
from porl_ros.robot.controller import Controller
from porl_ros.robot.observation import Sample
from porl_ros.simulation.env import SEEDS_APART

PATIENCE = 5.0  # seconds after which a reset is asked for again, and a silent learner is given up


class PolicyNode(PorlNode):
    """See the module. Everything but reading bundles and writing the store is in the executor's thread."""

    def __init__(self):
        super().__init__("policy")
        self.parameter("robot_config", "ur5e_insert", "path or name of the robot config")
        self.parameter("bundle", "", "policy bundle to begin with")
        self.parameter("store", "", "replay store to record in; made if it is not there")
        self.parameter("mode", "lockstep", "lockstep (with a simulation) or paced (by the clock)")
        self.parameter("device", "auto", "where the policy is computed: auto, cpu or cuda")
        self.parameter("explore", True, "add the bundle's exploration noise to actions")
        self.parameter("seed", 0, "seed of the exploration noise and of the first episode")
        self.parameter(
            "learner", True, "lock-step: wait for a learner's grants, swap in its bundles"
        )
        self.parameter("max_steps", 0, "stop acting after this many control steps; 0: never")
        self._writer: ReplayWriter | None = None
        self._interaction: Interaction | None = None
        self._active = False

    # Lifecycle

    def setup(self) -> None:
        self._config = config = load_robot(self.value("robot_config"))
        self._lockstep = _is_lockstep(self.value("mode"))
        controller = Controller(config)
        seed = self.value("seed")
        self._runtime = PolicyRuntime(config, self.value("device"), self.value("explore"), seed)
        self._runtime.swap(self._runtime.load(_required(self, "bundle")))
        if warning := check_base(self._runtime.bundle):
            self.get_logger().warning(warning)
        self._writer = _open_writer(self, config, controller)
        self._interaction = Interaction(controller, self._runtime, self._writer)
        self._samples: dict[str, Sample] = {}
        self._reset_state()
        self._connect(config)
        self._loaded: dict[int, tuple] = {}
        self._to_load: SimpleQueue[str | None] = SimpleQueue()
        Thread(target=self._load_bundles, name="bundle loader", daemon=True).start()

    def start(self) -> None:
        self._active = True
        self.steady_timer(0.5, self._housekeeping)
        if not self._lockstep:
            self.create_timer(1.0 / self._config.control_rate, self._paced_tick)
        self._active_version.publish(Int64(data=self._runtime.version))
        self.get_logger().info(
            f"policy version {self._runtime.version} is up for {self._config.name}; recording to "
            f"{self.value('store')}, run {self._writer.run}"
        )

    def stop(self) -> None:
        self._active = False

    def teardown(self) -> None:
        if self._writer is None:
            return
        self._to_load.put(None)
        self._interaction.abort()
        self._writer.close()
        self._writer = None

    def _reset_state(self) -> None:
        self._expected_stamp: int | None = (
            None  # of the first samples of the episode; None: not begun
        )
        self._acted_stamp = -1
        self._reset_asked: float | None = None
        self._held = False  # perceived, but not allowed to decide yet
        self._last_command = None
        waits = self._lockstep and self.value("learner")
        self._grant = Grant(0, 0, 0) if waits else Grant(WITHOUT_LIMIT, 0, WITHOUT_LIMIT)
        self._granted_at = self._now()

    def _connect(self, config: RobotConfig) -> None:
        quality = messages.sensor_qos(self._lockstep)
        for source in config.observation.sources:
            self.create_subscription(
                messages.MESSAGES[source.type], source.topic, self._sample_callback(source), quality
            )
        command = config.action.command
        self._command = self.create_publisher(
            messages.MESSAGES[command.type], command.topic, messages.COMMAND
        )
        self._reset = self.create_client(Trigger, "reset")
        self._seed = self.create_client(SetParameters, "simulation/set_parameters")
        if self.value("learner"):
            self.create_subscription(String, "learner/bundle", self._on_bundle, messages.LATCHED)
            self.create_subscription(
                Int64MultiArray, "learner/grant", self._on_grant, messages.LATCHED
            )
        self._active_version = self.create_publisher(Int64, "policy/version", messages.LATCHED)
        self._episode_success = self.create_publisher(
            Bool, "policy/episode_success", messages.EVENTS
        )
        self._success_rate = self.create_publisher(Float64, "policy/success_rate", messages.EVENTS)
        self._steps = self.create_publisher(Int64, "policy/steps", messages.LATCHED)

    # Samples and ticks

    def _sample_callback(self, source):
        def receive(message) -> None:
            try:
                sample = messages.to_sample(source, message)
            except messages.MessageError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
                return
            self._samples[source.name] = sample
            if self._lockstep:
                self._lockstep_tick()

        return receive

    def _lockstep_tick(self) -> None:
        """Act as soon as every source carries the same stamp, which was not acted on yet."""
        stamps = {sample.stamp for sample in self._samples.values()}
        if len(self._samples) < len(self._config.observation.sources) or len(stamps) > 1:
            return
        stamp = stamps.pop()
        if stamp < self._acted_stamp:
            self._clock_jumped_back()
        elif stamp == self._acted_stamp:
            self._resend()
        elif self._expected_stamp is not None and stamp >= self._expected_stamp:
            self._tick(stamp)

    def _paced_tick(self) -> None:
        """Act by the clock on the latest samples; a sample that is too old holds the robot."""
        if self._expected_stamp is None or not self._active:
            return
        now = self.get_clock().now().nanoseconds
        for source in self._config.observation.sources:
            sample = self._samples.get(source.name)
            if sample is None or now - sample.stamp > source.max_age * 1e9:
                age = "none came" if sample is None else f"{(now - sample.stamp) / 1e9:.2f} s old"
                self.get_logger().warning(
                    f"holding: {source.topic}: {age}, at most {source.max_age} s is acted on",
                    throttle_duration_sec=2.0,
                )
                return
        stamp = max(sample.stamp for sample in self._samples.values())
        oldest = min(sample.stamp for sample in self._samples.values())
        if oldest >= self._expected_stamp and stamp > self._acted_stamp:
            self._tick(stamp)

    def _tick(self, stamp: int) -> None:
        if not self._active or self._held:
            self._try_decide()
            return
        self._tick_stamp = stamp
        result = self._interaction.perceive(self._samples)
        if result:
            self._announce(result)
            self._ask_for_reset()
            return
        self._held = True
        self._try_decide()

    def _try_decide(self) -> None:
        """Decide and send, unless the learner has not granted this step or its bundle is not read yet."""
        if not (self._active and self._held):
            return
        steps, limit = self._interaction.steps, self.value("max_steps") or WITHOUT_LIMIT
        if steps >= min(self._grant.until, limit):
            self._writer.request_flush()  # the learner waits for what we have
            self._publish_steps()
            return
        if not self._swap_if_due(steps):
            return
        self._held = False
        self._acted_stamp = self._tick_stamp
        act = self._interaction.decide()
        self._last_command = messages.to_command(self._config, act.command, self._tick_stamp)
        self._command.publish(self._last_command)
        if act.interventions:
            self.get_logger().warning(
                f"safety filter: {', '.join(act.interventions)}", throttle_duration_sec=5.0
            )

    def _resend(self) -> None:
        """The simulator shows an observation again: our answer was lost."""
        if self._active and not self._held and self._last_command is not None:
            self._command.publish(self._last_command)

    def _clock_jumped_back(self) -> None:
        self.get_logger().warning(
            "the clock went back (simulator restarted?): beginning a new episode"
        )
        self._interaction.abort()
        self._samples.clear()
        self._acted_stamp, self._held = -1, False
        self._ask_for_reset()

    # Episodes

    def _ask_for_reset(self) -> None:
        """Seed, then reset; the episode begins with samples of the stamp that the reset answers."""
        self._expected_stamp, self._held = None, False
        self._reset_asked = self._now()
        if not (self._reset.service_is_ready() and self._seed.service_is_ready()):
            self.get_logger().info(
                f"waiting for service {self._reset.srv_name}", throttle_duration_sec=5.0
            )
            return
        seed = self.value("seed") * SEEDS_APART + self._interaction.episode + 1
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=seed)
        request = SetParameters.Request(parameters=[Parameter(name="seed", value=value)])
        self._seed.call_async(request).add_done_callback(self._on_seeded)

    def _on_seeded(self, future) -> None:
        self._reset.call_async(Trigger.Request()).add_done_callback(self._on_reset_done)

    def _on_reset_done(self, future) -> None:
        response = future.result()
        if response is None or not response.success or not response.message.isdecimal():
            reason = response.message if response else "no answer"
            self.get_logger().warning(
                f"reset refused: {reason}; asking again", throttle_duration_sec=5.0
            )
            return
        self._expected_stamp, self._reset_asked = int(response.message), None
        if self._lockstep:
            self._lockstep_tick()

    def _announce(self, result: EpisodeResult) -> None:
        self._episode_success.publish(Bool(data=result.success))
        self._success_rate.publish(Float64(data=self._interaction.recent_success))
        self._publish_steps()

    def _publish_steps(self) -> None:
        self._steps.publish(Int64(data=self._interaction.steps))

    # Learner

    def _on_grant(self, message: Int64MultiArray) -> None:
        if len(message.data) != 3:
            self.get_logger().error("learner/grant: must hold until, version, since; ignored")
            return
        self._grant, self._granted_at = Grant(*message.data), self._now()
        self._try_decide()

    def _on_bundle(self, message: String) -> None:
        try:
            path = json.loads(message.data)["path"]
        except (ValueError, KeyError, TypeError):
            self.get_logger().error("learner/bundle: not JSON with a path; ignored")
            return
        self._to_load.put(path)

    def _load_bundles(self) -> None:
        """Thread of the loader: reads and verifies bundles while the present one goes on acting."""
        while (path := self._to_load.get()) is not None:
            try:
                bundle, infer = self._runtime.load(path)
            except PorlError as error:
                self.get_logger().error(f"bundle refused, the present policy goes on: {error}")
                continue
            self._loaded[bundle.manifest.version] = (bundle, infer)
            self.call_soon(self._try_decide)

    def _swap_if_due(self, steps: int) -> bool:
        """Swap between two ticks; False when this step needs a bundle that is not read yet.

        Paced, the newest bundle acts as soon as it is read. In lock-step the grant says which.
        """
        if not self._lockstep or self._grant.since >= WITHOUT_LIMIT:
            version = max(self._loaded, default=self._runtime.version)
        elif steps >= self._grant.since:
            version = self._grant.version
        else:
            return True
        if version == self._runtime.version:
            return True
        if version not in self._loaded:
            return False
        self._runtime.swap(self._loaded[version])
        self._loaded = {v: loaded for v, loaded in self._loaded.items() if v > version}
        self._active_version.publish(Int64(data=version))
        return True

    # Housekeeping, twice a second

    def _housekeeping(self) -> None:
        if not self._active:
            return
        if self._writer.fault:
            self.get_logger().error(
                f"not recording: {self._writer.fault}; control goes on", throttle_duration_sec=10.0
            )
        idle = self._expected_stamp is None
        if idle and (self._reset_asked is None or self._now() - self._reset_asked > PATIENCE):
            self._ask_for_reset()
        elif idle and not self._reset.service_is_ready():
            self._reset_asked = None
        self._check_learner()

    def _check_learner(self) -> None:
        """A grant that is not renewed expires: the robot goes on collecting without the learner."""
        limited = self._grant.until < WITHOUT_LIMIT and self._interaction.steps >= self._grant.until
        if limited and self._now() - self._granted_at > PATIENCE:
            self.get_logger().warning("no word from the learner: going on without it")
            self._grant = Grant(WITHOUT_LIMIT, 0, WITHOUT_LIMIT)
            self._try_decide()

    def _now(self) -> float:
        from porl_ros.nodes.base import STEADY

        return STEADY.now().nanoseconds / 1e9


def _is_lockstep(mode: str) -> bool:
    if mode not in ("lockstep", "paced"):
        raise ConfigError(f"mode = '{mode}': must be lockstep or paced")
    return mode == "lockstep"


def _required(node: PorlNode, name: str) -> str:
    value = node.value(name)
    if not value:
        raise ConfigError(f"parameter {name} is not set: give the path (-p {name}:=PATH)")
    return value


def _open_writer(node: PorlNode, config: RobotConfig, controller: Controller) -> ReplayWriter:
    schema = ReplaySchema(
        contract_hash=config.contract_hash,
        observation_names=controller.observation_names,
        action_names=controller.action_names,
    )
    robot = node.get_namespace().strip("/").replace("/", "_") or config.name
    return ReplayWriter(Path(_required(node, "store")), schema, robot)


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(PolicyNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
