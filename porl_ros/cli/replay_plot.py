"""A picture of what is in a store."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from porl_ros.replay.tools.statistics import RunStatistics  # noqa: E402

WINDOW = 20  # episodes of the moving averages


def plot_runs(runs: dict[str, RunStatistics], title: str, path: Path) -> None:
    """Success, return, policy version and rate over the finished episodes, runs side by side."""
    episodes = [episode for run in runs.values() for episode in run.finished]
    number = np.arange(1, len(episodes) + 1)
    figure, axes = plt.subplots(4, figsize=(8, 8), dpi=120, sharex=True, height_ratios=(2, 2, 1, 1))
    for panel, values, label in (
        (axes[0], [float(e.success) for e in episodes], "success"),
        (axes[1], [e.ret for e in episodes], "return"),
    ):
        panel.plot(number, values, ".", color="0.6", ms=3)
        panel.plot(number, _smooth(values), color="tab:blue", label=f"mean of {WINDOW} episodes")
        panel.set(ylabel=label)
        panel.legend(loc="best", fontsize=8)
    axes[2].step(number, [e.version for e in episodes], color="tab:orange", where="mid")
    axes[2].set(ylabel="policy version")
    axes[3].plot(number, [e.rate for e in episodes], ".", color="tab:blue", ms=3)
    axes[3].set(ylabel="rate [Hz]", xlabel="finished episodes, run after run")
    begin = 0
    for run in runs.values():
        begin += len(run.finished)
        for panel in axes:
            panel.axvline(begin + 0.5, color="0.6", lw=0.5)
    for panel in axes:
        panel.grid(alpha=0.25)
    axes[0].set_title(title)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _smooth(values: list[float]) -> np.ndarray:
    """Mean of the last WINDOW values, of fewer at the begin."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - WINDOW)
    return (sums[last] - sums[first]) / (last - first)
