"""What the gate predicted against what came of it on the twin."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from benchmarks.gate_worth.agreement import Agreement, interval, rate  # noqa: E402

PICTURE = Path("docs/images/gate_worth.png")
KINDS = {  # beginning of a bundle's name: label, colour
    "cloned": ("cloned", "#8a8f98"),
    "simulation": ("fine-tuned in the nominal cell", "#1f5fa8"),
    "twin": ("fine-tuned on the twin", "#d9731a"),
}


def draw(bundles: Sequence[dict], agreements: Sequence[Agreement], asked: float) -> Path:
    """A panel a gate; filled: admitted. Returns the file."""
    figure, panels = plt.subplots(1, len(agreements), figsize=(9, 4.6), dpi=120, sharey=True)
    for axes, found in zip(panels, agreements, strict=True):
        _draw(axes, bundles, found, asked)
    panels[0].set_ylabel("success on the twin")
    handles = [
        Line2D([], [], marker="o", ls="", color=colour, label=label)
        for label, colour in KINDS.values()
    ]
    grey = {"marker": "o", "ls": "", "color": "black"}
    handles += [Line2D([], [], label="admitted", **grey)]
    handles += [Line2D([], [], label="refused", markerfacecolor="none", **grey)]
    figure.legend(handles=handles, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)
    plt.close(figure)
    return PICTURE


def _draw(axes: Axes, bundles: Sequence[dict], found: Agreement, asked: float) -> None:
    axes.plot([0, 1], [0, 1], color="#c0c4ca", lw=1, zorder=0)
    axes.axvline(asked, color="#c0c4ca", ls="--", lw=1, zorder=0)
    axes.axhline(asked, color="#c0c4ca", ls="--", lw=1, zorder=0)
    for row in bundles:
        gate, twin = row["gates"][found.gate], row["there"]
        colour = next(c for name, (_, c) in KINDS.items() if row["bundle"].startswith(name))
        axes.errorbar(
            rate(gate), rate(twin), _ends(twin), _ends(gate), color=colour, fmt="o", ms=5,
            elinewidth=0.8, markerfacecolor=colour if _admitted(gate) else "white",
        )  # fmt: skip
    value, low, high = found.correlation
    axes.set_title(f"{found.gate} gate: rank correlation {value:.2f} ({low:.2f} to {high:.2f})",
                   fontsize=9)  # fmt: skip
    axes.set(xlabel="success in the gate's suite", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.grid(alpha=0.2)


def _admitted(gate: dict) -> bool:
    return gate["alone"]["decision"] == "admitted"


def _ends(said: dict) -> list[list[float]]:
    low, high = interval(said)
    return [[rate(said) - low], [high - rate(said)]]
