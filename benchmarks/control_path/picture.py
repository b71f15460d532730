"""The distribution of what was measured, as shares that took longer."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

FOLDER = Path("docs/images")


def draw(latencies: dict[str, list[float]], name: str, title: str, period: float) -> Path:
    """`latencies`: seconds by what was measured; `period`: of control, ms. Returns the file."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for who, seconds in latencies.items():
        values = np.sort(np.array(seconds)) * 1e3
        axes.step(values, 1.0 - np.arange(len(values)) / len(values), label=who, where="post")
    axes.set(xscale="log", yscale="log", xlabel="sensors to command [ms]")
    axes.set(ylabel="share of steps that took longer", title=title)
    axes.axvline(period, color="grey", linestyle=":", label="control period")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / name, dpi=110)
    plt.close(figure)
    return FOLDER / name
