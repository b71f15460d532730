"""The report of a validation for people: one HTML file that needs nothing beside it."""

import base64
import io
from collections import Counter
from html import escape
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from porl_ros.sequential import mean_bounds  # noqa: E402
from porl_ros.validation.plots import BLUE, GREY, ORANGE  # noqa: E402
from porl_ros.validation.record import Criterion, Measured, Record, write_file  # noqa: E402

WORST = 10
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1d2530; }
h1 { font-size: 1.6rem; margin-bottom: 0.2rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.verdict { padding: 0.8rem 1rem; border-left: 6px solid; margin: 1rem 0; font-size: 1.1rem }
.admitted { border-color: #1a7f4b; background: #e9f6ef } .refused { border-color: #b3261e;
  background: #fbeae9 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 0.3rem 0.6rem; border-bottom: 1px solid #d8dde4;
  vertical-align: top }
.yes { color: #1a7f4b } .no { color: #b3261e; font-weight: 600 } .open { color: #8a5a00 }
code { font-size: 0.85em; word-break: break-all } img { max-width: 100% }
@media print { body { margin: 0; max-width: none } h2 { break-after: avoid } img, tr {
  break-inside: avoid } }
"""


def write_report(path: Path, record: Record) -> None:
    """Write the report of a record. Raises OSError."""
    write_file(path, render(record).encode())


def render(record: Record) -> str:
    """The page."""
    title = f"{record.bundle}: {record.decision}"
    what = "base, for fine-tuning" if record.purpose == "base" else "policy"
    parts = [
        f"<h1>{escape(record.bundle)} on {escape(record.robot)}</h1>",
        f"<p>Validation of a {what}, version {record.policy_version}, "
        f"{record.made_at:%Y-%m-%d %H:%M} UTC, by {escape(record.made_by)}</p>",
        f'<div class="verdict {record.decision}"><strong>{record.decision.upper()}</strong>: '
        f"{escape(record.why)}.</div>",
        "<h2>What was asked for, and what was found</h2>",
        _table(("", "found", "interval", "asked for", ""), map(_row, record.criteria)),
        f"<p>{_errors(record)}</p>",
        "<h2>Success</h2>",
        _picture(_success_figure(record), "success over the episodes, with its bounds"),
        _strata(record),
        "<h2>Forces and limits</h2>",
        _picture(_peaks_figure(record), "contact force, velocity and acceleration by episode"),
        "<p>Contact force is the sum of the magnitudes of all contacts between robot, tool and "
        "what it holds, and everything else. Velocity and acceleration are those of the commands, "
        "as a share of each joint's limit.</p>",
        "<h2>The safety filter</h2>",
        _interventions(record),
        "<h2>Worst episodes</h2>",
        _worst(record),
        "<h2>What was judged, and where</h2>",
        _identity(record),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def _row(criterion: Criterion) -> tuple[str, ...]:
    bounds = criterion.low, criterion.high
    interval = "" if None in bounds else f"{bounds[0]:.3g} to {bounds[1]:.3g}"
    found = "" if criterion.found is None else f"{criterion.found:.3g}"
    kind = {True: ("yes", "holds"), False: ("no", "does not hold"), None: ("open", "not shown")}
    css, text = kind[criterion.holds] if criterion.asked else ("", "measured only")
    name, asked = escape(criterion.name), escape(criterion.asked)
    return name, found, interval, asked, f'<span class="{css}">{text}</span>'


def _errors(record: Record) -> str:
    admitted, turned_away = record.rule["false_admission"], record.rule["false_refusal"]
    said = (
        "Bounds hold together at all times: one may look after every episode, and each is ever "
        f"wrong with a probability of at most {admitted:g}. A policy that falls short of the "
        f"success or comparison asked for is admitted with at most {admitted:g}; one that is good "
        f"enough is found to be worse with at most {turned_away:g}."
    )
    chances = (
        f"a policy with success {at} is admitted with {chance:.3f}"
        for at, chance in record.chances.items()
    )
    exact = "; ".join(chances)
    return said + (f" Exactly, of success alone: {exact}." if exact else "")


def _success_figure(record: Record):
    wins = np.cumsum([one.success for one in record.episodes])
    n = np.arange(1, len(wins) + 1)
    alpha = record.rule["false_admission"]
    low, high = zip(*(mean_bounds({1.0: int(k), 0.0: int(m - k)}, alpha) for k, m in zip(
        wins, n, strict=True)), strict=True)  # fmt: skip
    figure, axes = plt.subplots(figsize=(8, 3), dpi=110)
    axes.fill_between(n, low, high, color=BLUE, alpha=0.18, lw=0, label="bounds, at all times")
    axes.plot(n, wins / n, color=BLUE, label="success so far")
    if record.purpose == "policy" and record.rule["success"] is not None:
        axes.axhline(record.rule["success"], color=ORANGE, ls="--", label="asked for")
    axes.set(xlabel="episodes", ylabel="success", ylim=(-0.03, 1.03), xlim=(1, max(2, len(n))))
    axes.grid(alpha=0.25)
    axes.legend(loc="best")
    return figure


def _peaks_figure(record: Record):
    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), dpi=110)
    bounds = record.rule["bounds"]
    for ax, (name, label) in zip(
        axes, {"contact_force": "contact force [N]", "velocity": "velocity / limit",
               "acceleration": "acceleration / limit"}.items(), strict=True,
    ):  # fmt: skip
        ax.hist([getattr(one, name) for one in record.episodes], bins=30, color=BLUE)
        if bounds[name] is not None:
            ax.axvline(bounds[name], color=ORANGE, ls="--")
        ax.set(xlabel=label, ylabel="episodes" if ax is axes[0] else "")
        ax.grid(alpha=0.25, color=GREY)
    return figure


def _picture(figure, alt: str) -> str:
    content = io.BytesIO()
    figure.tight_layout()
    figure.savefig(content, format="png")
    plt.close(figure)
    data = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def _strata(record: Record) -> str:
    rows = []
    for nominal, name in ((True, "the cell as it is"), (False, "cells drawn around it")):
        chosen = [one for one in record.episodes if one.nominal == nominal]
        if chosen:
            wins = [one for one in chosen if one.success]
            steps = f"{np.mean([one.steps for one in wins]):.1f}" if wins else ""
            returned = f"{np.mean([one.returned for one in chosen]):.3g}"
            rows.append((name, str(len(chosen)), f"{len(wins) / len(chosen):.2f}", steps, returned))
    return _table(("", "episodes", "success", "steps to success", "return"), rows)


def _interventions(record: Record) -> str:
    steps, counted = sum(one.steps for one in record.episodes), Counter()
    for one in record.episodes:
        counted.update(one.interventions)
    changed = sum(one.intervened for one in record.episodes)
    said = f"<p>It changed {changed} of {steps} commands ({changed / max(1, steps):.2%}).</p>"
    rows = [(escape(reason), str(count)) for reason, count in counted.most_common()]
    return said + (_table(("limit", "commands"), rows) if rows else "")


def _worst(record: Record) -> str:
    chosen = sorted(record.episodes, key=_badness)[:WORST]
    header = (
        "seed",
        "success",
        "steps",
        "cell",
        "changed",
        "velocity",
        "acceleration",
        "force [N]",
    )
    rows = (
        (str(one.seed), "yes" if one.success else "no", str(one.steps),
         "as it is" if one.nominal else "drawn", str(one.intervened), f"{one.velocity:.2f}",
         f"{one.acceleration:.2f}", f"{one.contact_force:.0f}")
        for one in chosen
    )  # fmt: skip
    return _table(header, rows)


def _badness(one: Measured) -> tuple:
    return one.success, -one.contact_force


def _identity(record: Record) -> str:
    rows = {
        "scene, cell": f"{record.scene}, {record.cell}",
        "cell": str(record.variant),
        "calibrated from": record.calibration.fit if record.calibration else "nothing recorded",
        "suite": str(record.suite),
        "rule": str(record.rule),
        "seeds": f"{record.episodes[0].seed} to {record.episodes[-1].seed}"
        f" ({len(record.episodes)} of {record.planned})",
        "compared with": record.reference or "nothing",
        **{name.replace("_", " "): value for name, value in record.made.model_dump().items()},
        "packages": ", ".join(f"{name} {version}" for name, version in record.packages.items()),
        "took": f"{record.seconds:.1f} s",
    }
    return _table(("", ""), ((escape(k), f"<code>{escape(v)}</code>") for k, v in rows.items()))


def _table(header: tuple[str, ...], rows) -> str:
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
