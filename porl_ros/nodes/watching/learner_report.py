"""What the fine-tuning node says of itself: on topics, in the log, in TensorBoard."""

import json
from pathlib import Path

from std_msgs.msg import Float64, String

from porl_ros.learning.finetuning import FineTuning
from porl_ros.learning.metrics import MetricsLog
from porl_ros.learning.trainer import Progress, Stage
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.policy.saturation import saturation_warning


class LearnerReport:
    """Publishers and log. Executor's thread."""

    def __init__(self, node: PorlNode, progress: Progress, tensorboard: Path | None):
        """`tensorboard`: folder of its logs, None: none."""
        self._log = node.get_logger()
        self._tensorboard = MetricsLog(tensorboard) if tensorboard else None
        self._shown: Progress | None = None
        self._status = node.create_publisher(String, "learner/status", messages.LATCHED)
        self._metrics = {
            name: node.create_publisher(Float64, f"learner/metrics/{name}", messages.EVENTS)
            for name in ("stage", *_metrics(progress))
        }

    def progress(self, progress: Progress, tuning: FineTuning, waiting: str) -> None:
        """Where it is; `waiting`: for what, if it waits."""
        metrics = _metrics(progress)
        status = _status(progress, metrics, tuning) | {"waiting_for": waiting}
        self._status.publish(String(data=json.dumps(status)))
        stage = float(list(Stage).index(progress.stage))  # for plots
        for name, value in (metrics | {"stage": stage}).items():
            self._metrics[name].publish(Float64(data=value))
        if self._tensorboard:
            self._tensorboard.write(progress.env_steps, metrics)
        if self._shown is None or progress.stage is not self._shown.stage:
            self._log.info(f"stage: {progress.stage} ({progress.done} of {progress.total})")
            self._shown = progress
        if warning := saturation_warning(tuning.saturation, "the pre-sample stage"):
            self._log.warning(warning, once=True)
        if waiting:
            self._log.info(f"waiting for {waiting}", throttle_duration_sec=5.0)

    def close(self) -> None:
        """Finish what is written to disk."""
        if self._tensorboard:
            self._tensorboard.close()


def _status(progress: Progress, metrics: dict[str, float], tuning: FineTuning) -> dict:
    stage = "paused" if tuning.paused else progress.stage
    numbers = {k: None if v != v else v for k, v in metrics.items()}
    return {
        "stage": stage,
        "done": progress.done,
        "total": progress.total,
        "finished": progress.stage is Stage.FINISHED,
        "forgiven_updates": tuning.forgiven,
        **numbers,
    }


def _metrics(progress: Progress) -> dict[str, float]:
    """The numbers of a snapshot, by name."""
    skipped = {"stage", "done", "total"}
    return {k: float(v) for k, v in progress._asdict().items() if k not in skipped}
