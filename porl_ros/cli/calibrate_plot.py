"""A picture of how well a calibrated cell explains the recordings."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from porl_ros.validation.calibration import Fitted

MM = 1e3


def plot_residuals(fitted: Fitted, path: Path) -> None:
    """Distance between replayed and recorded tool: over an episode, and a dot an episode; PNG."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    over_time, each = figure.subplots(1, 2)
    steps = np.arange(1, fitted.by_step.shape[1] + 1)
    for errors, label, color in zip(
        fitted.by_step, ("before", "after"), ("tab:orange", "tab:blue"), strict=True
    ):
        over_time.plot(steps, errors * MM, color=color, label=label)
    over_time.set(xlabel="control step", ylabel="tool off by, median [mm]", ylim=(0, None))
    over_time.legend(frameon=False)
    each.loglog(fitted.before * MM, fitted.after * MM, "o", color="tab:blue", alpha=0.6)
    ends = [np.nanmin(fitted.after) * MM, np.nanmax(fitted.before) * MM]
    each.plot(ends, ends, color="0.7", linewidth=1)
    each.set(xlabel="before [mm]", ylabel="after [mm]", title="an episode a dot")
    figure.savefig(path, dpi=120, format="png")
