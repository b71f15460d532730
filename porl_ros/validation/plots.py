"""Pictures of a fine-tuning run."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from porl_ros.validation.evaluation import Evaluation  # noqa: E402

BLUE, ORANGE, GREY = "#1f5fa8", "#d9731a", "#8a8f98"


class CurvePoint(NamedTuple):
    """A bundle on the learning curve."""

    env_steps: int
    version: int
    evaluation: Evaluation


def plot_learning_curve(
    points: Sequence[CurvePoint], presample_steps: int, title: str, path: Path
) -> None:
    """Success over environment steps with its 95 % interval; the first point is the base policy."""
    figure, axes = plt.subplots(figsize=(8, 4.2), dpi=120)
    steps = [point.env_steps for point in points]
    success = [point.evaluation.success for point in points]
    low, high = zip(*(point.evaluation.interval for point in points), strict=True)
    if presample_steps:
        axes.axvspan(0, presample_steps, color=GREY, alpha=0.15, lw=0)
        axes.text(presample_steps / 2, 1.04, "pre-sample: policy frozen", ha="center", color=GREY)
    axes.axhline(success[0], color=ORANGE, ls="--", lw=1.5, label=f"base policy: {success[0]:.2f}")
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.18, lw=0, label="95 % interval")
    axes.plot(steps, success, "o-", color=BLUE, ms=4, label=f"fine-tuned: {success[-1]:.2f}")
    axes.set(
        xlabel="environment steps",
        ylabel="success, no exploration",
        ylim=(-0.03, 1.12),
        title=title,
    )
    axes.set_xlim(0, max(steps))
    axes.grid(alpha=0.25)
    axes.legend(loc="center right")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
