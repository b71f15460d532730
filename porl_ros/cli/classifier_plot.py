"""A picture of how far a classifier's probabilities can be believed."""

from pathlib import Path

from matplotlib.figure import Figure

from porl_ros.learning.classifier import Quality


def plot_calibration(held_out: Quality, path: Path) -> None:
    """Observed share of successes over predicted probability, as PNG."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    predicted, observed = zip(*((b.predicted, b.observed) for b in held_out.bins), strict=True)
    axes.plot(predicted, observed, "o-", color="tab:blue")
    for one in held_out.bins:
        axes.annotate(f"{one.count}", (one.predicted, one.observed), (4, -12), fontsize=8,
                      textcoords="offset points")  # fmt: skip
    axes.set(xlabel="probability of success", ylabel="share that was one", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{held_out.episodes} episodes held out", fontsize=10)
    figure.savefig(path, dpi=120, format="png")
