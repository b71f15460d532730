"""Success curves of all methods, a picture per task and one of all tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from benchmarks.finetuning.curves import FINE, at  # noqa: E402
from benchmarks.finetuning.methods import METHODS  # noqa: E402

GREY, COLUMNS = "#4d535c", 3
Results = Mapping[str, Sequence[dict]]  # of one task, by method


def draw_task(name: str, results: Results, path: Path) -> None:
    """Mean over the seeds and their range, over environment steps."""
    figure, axes = plt.subplots(figsize=(8, 4.4), dpi=120)
    _draw(axes, name, results, longest(results))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    _save(figure, path)


def draw_all(tasks: Mapping[str, Results], steps: int, path: Path) -> None:
    """All tasks side by side, over the first `steps` steps, which all methods have."""
    rows = -(-len(tasks) // COLUMNS)
    size = 4.2 * min(len(tasks), COLUMNS), 2.9 * rows + 0.8
    figure, grid = plt.subplots(
        rows, min(len(tasks), COLUMNS), figsize=size, dpi=120, squeeze=False
    )
    for axes in grid.flat[len(tasks) :]:
        axes.set_axis_off()
    for axes, (name, results) in zip(grid.flat, tasks.items(), strict=False):
        _draw(axes, name, results, steps)
    named = {}
    for axes in grid.flat:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        named.values(), named.keys(), ncols=4, fontsize=8, loc="lower center", frameon=False
    )
    _save(figure, path, bottom=0.8 / size[1])


def longest(results: Results) -> int:
    """The largest budget among some runs."""
    return max(run["steps"] for runs in results.values() for run in runs)


def _draw(axes: Axes, name: str, results: Results, steps: int) -> None:
    for key, method in METHODS.items():
        if runs := results.get(key):
            grid = np.arange(0, min(steps, min(run["steps"] for run in runs)) + 1, FINE)
            values = [at(run["curve"]["env_steps"], run["curve"]["success"], grid) for run in runs]
            axes.plot(grid, np.mean(values, 0), color=method.colour, lw=1.6, label=method.label)
            low, high = np.min(values, 0), np.max(values, 0)
            axes.fill_between(grid, low, high, color=method.colour, alpha=0.15, lw=0)
    base = np.mean([run["base"] for runs in results.values() for run in runs])
    axes.axhline(base, color=GREY, ls="--", lw=1.2, label="base policy")
    axes.set(title=name, xlabel="environment steps", ylabel="success, no exploration")
    axes.set(xlim=(0, steps), ylim=(-0.03, 1.03))
    axes.grid(alpha=0.25)


def _save(figure: plt.Figure, path: Path, bottom: float = 0.0) -> None:
    figure.tight_layout(rect=(0, bottom, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
