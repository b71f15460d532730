"""Fine-tunes the policy in a process of its own: reads the store, trains, writes bundles.

Training runs in a thread beside the executor. The executor's thread publishes what that thread
leaves behind: stage, metrics, the newest bundle, and in lock-step the grant.
"""

import json
import time
from pathlib import Path
from threading import Event, Thread

from std_msgs.msg import Float64, Int64MultiArray, String
from std_srvs.srv import SetBool

from porl_ros.errors import PorlError
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.finetuning import FineTuning, Grant
from porl_ros.learning.metrics import MetricsLog
from porl_ros.learning.trainer import Progress, Stage
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, run
from porl_ros.policy.saturation import saturation_warning
from porl_ros.robot.loading import load_robot

IDLE = 0.002  # seconds between two looks at a store in which nothing is new
HEARTBEAT = 0.5  # seconds; a policy node gives a silent learner up after ten of them


class FinetuneNode(PorlNode):
    """See the module."""

    def __init__(self):
        super().__init__("finetune")
        self.parameter("robot_config", "ur5e_insert", "path or name of the robot config")
        self.parameter("bundle", "", "the policy to improve: a bundle")
        self.parameter("store", "", "replay store to learn from")
        self.parameter("output", "", "folder for the new bundles and the logs")
        self.parameter(
            "learner_config", "", "YAML file with settings of the learner; empty: the defaults"
        )
        self.parameter(
            "demonstrations", "", "replay store of demonstrations for prior_share; empty: none"
        )
        self.parameter("mode", "lockstep", "lockstep (grants steps to the policy node) or paced")
        self.parameter("device", "auto", "where to train: auto, cpu or cuda")
        self.parameter("seed", 0, "seed of networks and sampling")
        self._thread: Thread | None = None
        self._metrics_log: MetricsLog | None = None

    def setup(self) -> None:
        robot = load_robot(self.value("robot_config"))
        output = Path(self.required("output"))
        self._lockstep = self.choice("mode", ("lockstep", "paced")) == "lockstep"
        self._tuning = FineTuning(
            robot,
            self.required("bundle"),
            self.required("store"),
            output / "bundles",
            PorlConfig.load(self.value("learner_config")),
            self.value("seed"),
            self.value("device"),
            self._lockstep,
            self.value("demonstrations") or None,
        )
        self._metrics_log = MetricsLog(output / "tensorboard")
        self._stopping, self._crash = Event(), None
        self._progress = self._tuning.progress  # replaced by the training thread
        self._shown: Progress | None = None
        self._sent: Grant | None = None
        self._announced: Path | None = None
        self._connect()

    def start(self) -> None:
        self._stopping.clear()
        self._thread = Thread(target=self._train, name="training", daemon=True)
        self._thread.start()
        self.steady_timer(HEARTBEAT, self._heartbeat)

    def stop(self) -> None:
        if self._thread:
            self._stopping.set()
            self._thread.join(10.0)
            self._thread = None

    def teardown(self) -> None:
        if self._metrics_log:
            self._metrics_log.close()
            self._metrics_log = None

    def _connect(self) -> None:
        self._bundle = self.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
        self._grant = self.create_publisher(
            Int64MultiArray, "learner/grant", messages.LATCHED_EVENTS
        )
        self._status = self.create_publisher(String, "learner/status", messages.LATCHED)
        self._metrics = {
            name: self.create_publisher(Float64, f"learner/metrics/{name}", messages.EVENTS)
            for name in _metrics(self._progress)
        }
        self.create_service(SetBool, "learner/pause", self._on_pause)
        self._pause_wanted = False

    # Training thread

    def _train(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._tuning.paused != self._pause_wanted:
                    self._tuning.pause(self._pause_wanted)
                busy = self._tuning.advance()
                self._progress = self._tuning.progress
                if self._tuning.grant != self._sent or self._tuning.latest != self._announced:
                    self.call_soon(self._publish_news)
                if not busy:
                    time.sleep(IDLE)
        except PorlError as error:
            self._crash = error
        except Exception as error:  # whatever it was: the policy node goes on, people must know
            self.get_logger().fatal(f"training stopped: {type(error).__name__}: {error}")
            self._crash = error

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
        progress = self._progress
        metrics = _metrics(progress)
        self._status.publish(String(data=json.dumps(_status(progress, metrics, self._tuning))))
        for name, value in metrics.items():
            self._metrics[name].publish(Float64(data=value))
        self._metrics_log.write(progress.env_steps, metrics)
        if self._shown is None or progress.stage is not self._shown.stage:
            self.get_logger().info(f"stage: {progress.stage} ({progress.done} of {progress.total})")
            self._shown = progress
        if warning := saturation_warning(self._tuning.saturation, "the pre-sample stage"):
            self.get_logger().warning(warning, once=True)
        if waiting := self._tuning.waiting_for:
            self.get_logger().info(f"waiting for {waiting}", throttle_duration_sec=5.0)

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """True: stop learning, the robot goes on. False: go on learning."""
        self._pause_wanted = request.data
        response.success, response.message = True, "pausing" if request.data else "resuming"
        return response


def _status(progress: Progress, metrics: dict[str, float], tuning: FineTuning) -> dict:
    stage = "paused" if tuning.paused else progress.stage
    numbers = {k: None if v != v else v for k, v in metrics.items()}
    return {
        "stage": stage,
        "done": progress.done,
        "total": progress.total,
        "waiting_for": tuning.waiting_for,
        "finished": progress.stage is Stage.FINISHED,
        "forgiven_updates": tuning.forgiven,
        **numbers,
    }


def _metrics(progress: Progress) -> dict[str, float]:
    """The numbers of a snapshot, by name."""
    skipped = {"stage", "done", "total"}
    return {k: float(v) for k, v in progress._asdict().items() if k not in skipped}


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return run(FinetuneNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
