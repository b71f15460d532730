"""How a fine-tuning node is."""

import math
import time
from pathlib import Path

from porl_ros.learning.finetuning import FineTuning
from porl_ros.learning.trainer import Progress, Stage
from porl_ros.nodes.watching.health import Level, Rate, Status, disk


class LearnerHealth:
    """Of one configured fine-tuning node. Called by the thread of the diagnostics."""

    def __init__(self, tuning: FineTuning, output: Path):
        self._tuning, self._output = tuning, output
        self._updates, self._forgiven = Rate(), Rate()

    def look(self, progress: Progress, waiting_for: str) -> list[Status]:
        """Everything, as of `progress`; `waiting_for`: what has not come for a while."""
        return [self._learning(progress, waiting_for), _critics(progress), disk(self._output)]

    def _learning(self, progress: Progress, waiting_for: str) -> Status:
        now, paused = time.monotonic(), self._tuning.paused
        updates = self._updates(progress.gradient_steps, now)
        behind = self._forgiven(self._tuning.forgiven, now) > 0
        stage = "paused" if paused else str(progress.stage)
        values = {
            "stage": stage, "done": progress.done, "total": progress.total,
            "updates_per_second": updates, "utd": progress.utd, "env_steps": progress.env_steps,
            "gradient_steps": progress.gradient_steps, "version": self._tuning.version,
            "success": progress.recent_success, "base_success": progress.base_success,
            "anchor": progress.anchor, "waiting_for": waiting_for,
        }  # fmt: skip
        text, level = f"{stage}, {updates:.3g} updates a second", Level.OK
        if waiting_for and not paused and progress.stage is not Stage.FINISHED:
            text, level = f"{stage}: waits for {waiting_for}", Level.WARN
        elif behind:
            text, level = (
                (
                    f"{text}: too few for the {self._tuning.config.utd} asked for a step; lower "
                    "learner.utd or learner.batch_size, or give it another processor"
                ),
                Level.WARN,
            )
        return Status("learning", level, text, values)


def _critics(progress: Progress) -> Status:
    values = {
        "critic_error": progress.critic_error, "critic_loss": progress.critic_loss,
        "actor_loss": progress.actor_loss, "value": progress.value,
        "batch_return": progress.batch_return,
    }  # fmt: skip
    if progress.gradient_steps and not math.isfinite(progress.critic_loss):
        text = "diverged: pause, call back_to_base, and begin with a lower critic_learning_rate"
        return Status("critics", Level.ERROR, text, values)
    text = f"loss {progress.critic_loss:.3g}" if progress.gradient_steps else "not trained yet"
    return Status("critics", Level.OK, text, values)
