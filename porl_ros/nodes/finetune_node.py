"""Fine-tunes the policy in a process of its own: reads the store, trains, writes bundles.

Training runs in a thread beside the executor. The executor's thread publishes what that thread
leaves behind: stage, metrics, the newest bundle, and in lock-step the grant. What is started again
goes on from the last checkpoint (docs/recovery.md).
"""

import json
import time
from functools import partial
from pathlib import Path
from threading import Event, Thread

from std_msgs.msg import Int64MultiArray, String
from std_srvs.srv import Trigger

from porl_ros.errors import ConfigError, PorlError
from porl_ros.learning.checkpoints import Checkpoints
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.finetuning import FineTuning, Grant
from porl_ros.learning.run_file import write_run_file
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, steady_seconds
from porl_ros.nodes.entry import run
from porl_ros.nodes.parameters import Changes, declare
from porl_ros.nodes.scheduling import stand_back
from porl_ros.nodes.settings import FinetuneSettings, settings_of
from porl_ros.nodes.watching.health import Status
from porl_ros.nodes.watching.learner_health import LearnerHealth
from porl_ros.nodes.watching.learner_report import LearnerReport
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot

IDLE = 0.002  # seconds between two looks at a store in which nothing is new
NEWS = 2.0  # seconds without any after which it says what it waits for
HEARTBEAT = 0.5  # seconds; a policy node gives a silent learner up after ten of them


class FinetuneNode(PorlNode):
    """See the module."""

    config_topic = "learner/config"  # of the learner alone

    def __init__(self):
        super().__init__("finetune")
        self._thread: Thread | None = None
        self._checkpoints: Checkpoints | None = None
        self._report: LearnerReport | None = None
        self._tuning: FineTuning | None = None
        self._health: LearnerHealth | None = None

    def defaults(self) -> FinetuneSettings:
        """Of the learner those of the YAML file, if it can be read; else configure will tell."""
        settings = {setting.name: setting for setting in settings_of(FinetuneSettings())}
        try:
            file = PorlConfig.load(declare(self, settings["learner_config"]))
        except ConfigError:
            file = PorlConfig()
        return FinetuneSettings(learner=file)

    def setup(self) -> None:
        settings = self.settings
        stand_back(settings.niceness)
        robot = load_robot(settings.robot_config)
        output = Path(self.required("output"))
        PorlConfig.load(settings.learner_config)  # says what is wrong in it
        self._lockstep = settings.mode == "lockstep"
        self._tuning = FineTuning(
            robot,
            self.required("bundle"),
            self.required("store"),
            output / "bundles",
            settings.learner,
            settings.seed,
            settings.device,
            self._lockstep,
            settings.demonstrations or None,
        )
        self._resume(output / "checkpoints")
        self._run = self._describe(output, robot)
        self.show(settings.model_copy(update={"learner": self._tuning.config}))
        self._applied = self.settings.learner
        self._stopping, self._crash = Event(), None
        self._progress = self._tuning.progress  # replaced by the training thread
        self._sent: Grant | None = None
        self._announced: Path | None = None
        self._report = LearnerReport(
            self, self._progress, output / "tensorboard" if settings.tensorboard else None
        )
        self._connect()
        self._health = LearnerHealth(self._tuning, output)

    def start(self) -> None:
        self._stopping.clear()
        self._busy_at = steady_seconds()
        self._thread = Thread(target=self._train, name="training", daemon=True)
        self._thread.start()
        self.steady_timer(HEARTBEAT, self._heartbeat)

    def stop(self) -> None:
        if self._thread:
            self._stopping.set()
            self._thread.join(10.0)
            self._thread = None
            if self.settings.checkpoint_interval and not self._crash:
                self._checkpoints.finish()
                self._checkpoints.save(self._tuning.state_dict())

    def teardown(self) -> None:
        self._tuning = self._health = None
        if self._checkpoints:
            self._checkpoints.close()
            self._checkpoints = None
        if self._report:
            self._report.close()
            self._report = None

    def _resume(self, folder: Path) -> None:
        """Go on where an earlier process was, if this is the same run."""
        self._checkpoints = Checkpoints(folder, self._tuning.made_for)
        if checkpoint := self._checkpoints.newest(self._tuning.state_dict()):
            self._tuning.resume(checkpoint)
            self.get_logger().info(
                f"resumed at gradient step {self._tuning.progress.gradient_steps}, policy version "
                f"{self._tuning.version}, from {checkpoint.path}"
            )

    def _describe(self, output: Path, robot: RobotConfig) -> str:
        """For reports; returns the run's identity, which changes in the audit log carry."""
        tuning, settings = self._tuning, self.settings
        demonstrations = settings.demonstrations
        return write_run_file(
            output,
            resumed=tuning.progress.env_steps > 0,
            robot=settings.robot_config,
            paths={
                "base": Path(settings.bundle),
                "store": Path(settings.store),
                "demonstrations": Path(demonstrations) if demonstrations else None,
            },
            contract_hash=robot.contract_hash,
            base_sha256=tuning.base.manifest.weights_sha256,
            base_version=tuning.base.manifest.version,
            mode=settings.mode,
            device=tuning.trainer.porl.device,
            seed=settings.seed,
            settings=tuning.config,
        )

    def _connect(self) -> None:
        self._bundle = self.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
        self._grant = self.create_publisher(
            Int64MultiArray, "learner/grant", messages.LATCHED_EVENTS
        )
        for verb, paused in (("start", False), ("pause", True), ("resume", False)):
            self.create_service(Trigger, f"learner/{verb}", partial(self._on_verb, verb, paused))
        self._pause_wanted = self._tuning.paused or not self.settings.learn
        self._went_back: dict[str, tuple[int, int]] = {}  # by robot: to which version, how often
        for robot in self.settings.robots.split(","):
            topic = f"{robot}/policy/returned".lstrip("/")
            self.create_subscription(String, topic, self._on_returned, messages.LATCHED)

    def tuned(self, changes: Changes) -> None:
        """The training thread takes it over, and tells."""

    def tell_settings(self) -> None:
        self._in_force.publish(String(data=self._applied.model_dump_json()))

    def diagnose(self) -> list[Status]:
        health = self._health
        return health.look(self._progress, self._waiting_for()) if health else []

    # Training thread

    def _train(self) -> None:
        saved_at, interval = steady_seconds(), self.settings.checkpoint_interval
        try:
            while not self._stopping.is_set():
                self._obey()
                busy = self._tuning.advance()
                self._progress = self._tuning.progress
                if self._tuning.grant != self._sent or self._tuning.latest != self._announced:
                    self.call_soon(self._publish_news)
                now = steady_seconds()
                if interval and now - saved_at >= interval:
                    self._checkpoints.save(self._tuning.state_dict())
                    saved_at = now
                if busy:
                    self._busy_at = now
                else:
                    time.sleep(IDLE)
        except PorlError as error:
            self._crash = error
        except Exception as error:  # whatever it was: the policy node goes on, people must know
            self.get_logger().fatal(f"training stopped: {type(error).__name__}: {error}")
            self._crash = error

    def _obey(self) -> None:
        """Take over what people have asked for since."""
        if self._tuning.paused != self._pause_wanted:
            self._tuning.pause(self._pause_wanted)
        for robot, (version, returns) in self._went_back.copy().items():
            if self._tuning.went_back(robot, version, returns):
                self.get_logger().warning(f"{robot} is back to version {version}: learning from it")
        if (wanted := self.settings.learner) is self._applied:
            return
        self._applied, progress = wanted, self._tuning.progress
        for name, (old, new) in self._tuning.tune(wanted).items():
            step = {"env_step": progress.env_steps, "gradient_step": progress.gradient_steps}
            what = {"run": self._run, "name": f"learner.{name}", "old": old, "new": new}
            self.get_logger().info(f"{name}: {old} -> {new}, from step {progress.env_steps} on")
            self.write_down("parameter", **what, **step)
        self.call_soon(self.tell_settings)

    # Executor's thread

    def _publish_news(self) -> None:
        tuning = self._tuning
        latest, grant = tuning.latest, tuning.grant
        if latest != self._announced and latest != tuning.base.path:
            self._bundle.publish(String(data=json.dumps({"path": str(latest.resolve())})))
        self._announced = latest
        if self._lockstep:
            self._grant.publish(Int64MultiArray(data=list(grant)))
        self._sent = grant

    def _heartbeat(self) -> None:
        if self._crash:
            self.fail(self._crash)
            return
        self._publish_news()
        self._report.progress(self._progress, self._tuning, self._waiting_for())

    def _waiting_for(self) -> str:
        """What has not come for a while; empty as long as something comes."""
        quiet = steady_seconds() - self._busy_at >= NEWS
        return self._tuning.waiting_for if quiet else ""

    def _on_returned(self, message: String) -> None:
        try:
            said = json.loads(message.data)
            self._went_back[str(said["robot"])] = int(said["version"]), int(said["returns"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self.get_logger().error(
                "policy/returned is not JSON with robot, version, returns; ignored"
            )

    def _on_verb(
        self, verb: str, paused: bool, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """An operator has it learn, or not; the robot goes on."""
        already, self._pause_wanted = self._pause_wanted == paused, paused
        text = "learning is paused" if paused else "learning goes on"
        response.success, response.message = True, f"{text}{', as before' if already else ''}"
        self.get_logger().warning(f"operator, {verb}: {response.message}")
        return response


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(FinetuneNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
