"""The distribution of what was measured, as shares that took longer."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

PICTURE = Path("docs/images/control_path.png")


def draw(latencies: dict[str, list[float]], rate: float) -> Path:
    """`latencies`: seconds by what was measured. Returns the file."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, seconds in latencies.items():
        values = np.sort(np.array(seconds)) * 1e3
        axes.step(values, 1.0 - np.arange(len(values)) / len(values), label=name, where="post")
    axes.set(xscale="log", yscale="log", xlabel="sensors to command [ms]")
    axes.set(ylabel="share of steps that took longer", title=f"{rate:g} Hz, lock-step")
    axes.axvline(1e3 / rate, color="grey", linestyle=":", label="control period")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
    return PICTURE
