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

GREY = "#4d535c"
LEGEND_COLUMNS = (1, 3, 4)  # for pictures of one, two and three columns
Results = Mapping[str, Sequence[dict]]  # of one task, by method


def draw_task(name: str, results: Results, path: Path) -> None:
    """Mean over the seeds and their range, over environment steps."""
    figure, axes = plt.subplots(figsize=(8, 4.4), dpi=120)
    _draw(axes, name, results, longest(results))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    _save(figure, path)


def draw_all(tasks: Mapping[str, Results], steps: int, path: Path) -> None:
    """All tasks side by side, over the first `steps` steps, which all methods have."""
    columns = min(len(tasks), len(LEGEND_COLUMNS))
    rows, names = -(-len(tasks) // columns), LEGEND_COLUMNS[columns - 1]
    below = 0.22 * -(-(len(METHODS) + 1) // names) + 0.1  # inches that the legend takes
    size = 4.2 * columns, 2.9 * rows + below
    figure, grid = plt.subplots(rows, columns, figsize=size, dpi=120, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.set_axis_off()
    known = {}
    for axes, (name, results) in zip(grid.flat, tasks.items(), strict=False):
        _draw(axes, name, results, steps)
        known |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    where = {"loc": "lower center", "ncols": names, "fontsize": 8, "frameon": False}
    figure.legend(known.values(), known.keys(), **where)
    _save(figure, path, bottom=below / size[1])


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
