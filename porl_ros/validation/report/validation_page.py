"""The report of a validation: the verdict first, then what it stands on."""

from collections import Counter
from pathlib import Path

import numpy as np

from porl_ros.sequential import mean_bounds
from porl_ros.validation.plots import BLUE, ORANGE
from porl_ros.validation.record import Criterion, Measured, Record, write_file
from porl_ros.validation.report.against_reference import compared
from porl_ros.validation.report.page import Films, Table, axes_of, picture, render
from porl_ros.validation.report.randomisation import dependence

WORST = 10
POINTS = 80  # of the curve
PEAKS = {
    "contact_force": "contact force [N]",
    "velocity": "velocity / limit",
    "acceleration": "acceleration / limit",
}
NOT_FILMED = Films(why_not="Not filmed; `porl report BUNDLE` makes this report anew, with films.")


def write_report(
    path: Path, record: Record, reference: Record | None = None, films: Films = NOT_FILMED
) -> None:
    """Write the report of a record, whole or not at all. `reference`: the record of what it was
    compared with, whose episodes are shown beside these. Raises OSError."""
    write_file(path, page(record, reference, films).encode())


def page(record: Record, reference: Record | None = None, films: Films = NOT_FILMED) -> str:
    """The page."""
    as_base = "base, for fine-tuning" if record.purpose == "base" else "policy"
    return render(
        "validation.html.j2",
        title=f"{record.bundle}: {record.decision}",
        heading=f"{record.bundle} on {record.robot}",
        what=f"Validation of a {as_base}, version {record.policy_version}, "
        f"{record.made_at:%Y-%m-%d %H:%M} UTC, by {record.made_by}",
        verdict=record.decision.upper(),
        tone="good" if record.admitted else "bad",
        why=f"{record.why}.",
        facts=_facts(record),
        criteria=Table(("", "found", "interval", "asked for", ""), _criteria(record)),
        errors=_errors(record),
        success=_success(record),
        strata=_strata(record),
        compared=compared(record, reference) if reference else None,
        dependence=dependence(record),
        clips=films,
        worst=_worst(record),
        peaks=_peaks(record),
        interventions=_interventions(record),
        identity=_identity(record),
    )


def worst(record: Record) -> list[Measured]:
    """Its episodes, failures with the highest forces first."""
    return sorted(record.episodes, key=lambda one: (one.success, -one.contact_force))


def _facts(record: Record) -> list[tuple[str, str, str]]:
    n, rule = len(record.episodes), record.rule
    low, high = _bounds(sum(one.success for one in record.episodes), n, rule["false_admission"])
    steps = [one.steps for one in record.episodes if one.success]
    changed = sum(one.intervened for one in record.episodes)
    share = changed / max(1, sum(one.steps for one in record.episodes))
    force = max((one.contact_force for one in record.episodes), default=0.0)
    return [
        ("success", f"{record.success:.2f}", f"{low:.2f} to {high:.2f}"),
        ("episodes", str(n), f"of {record.planned} at most"),
        ("steps to success", f"{np.mean(steps):.1f}" if steps else "none", "mean"),
        ("commands changed", f"{share:.1%}", "by the safety filter"),
        ("highest force", f"{force:.0f} N", "between robot and anything else"),
    ]


def _criteria(record: Record) -> list[tuple]:
    return [_criterion(one) for one in record.criteria]


def _criterion(one: Criterion) -> tuple:
    interval = "" if None in (one.low, one.high) else f"{one.low:.3g} to {one.high:.3g}"
    found = "" if one.found is None else f"{one.found:.3g}"
    kind = {True: ("holds", "good"), False: ("does not hold", "bad"), None: ("not shown", "open")}
    return one.name, found, interval, one.asked, kind[one.holds] if one.asked else "measured only"


def _errors(record: Record) -> str:
    admitted, turned_away = record.rule["false_admission"], record.rule["false_refusal"]
    said = (
        "Bounds hold together at all times: one may look after every episode, and each is ever "
        f"wrong with a probability of at most {admitted:g}. A policy that falls short of the "
        f"success or comparison asked for is admitted with at most {admitted:g}; one that is good "
        f"enough is found to be worse with at most {turned_away:g}."
    )
    chances = "; ".join(
        f"a policy with success {at} is admitted with {chance:.3f}"
        for at, chance in record.chances.items()
    )
    return said + (f" Exactly, of success alone: {chances}." if chances else "")


def _bounds(wins: int, n: int, alpha: float) -> tuple[float, float]:
    return mean_bounds({1.0: wins, 0.0: n - wins}, alpha)


def _success(record: Record) -> str:
    n = np.unique(np.linspace(1, len(record.episodes), POINTS).astype(int))
    wins = np.cumsum([one.success for one in record.episodes])[n - 1]
    alpha = record.rule["false_admission"]
    low, high = np.array([_bounds(int(k), int(m), alpha) for k, m in zip(wins, n, strict=True)]).T
    figure, (axes,) = axes_of(height=2.7)
    axes.fill_between(n, low, high, color=BLUE, alpha=0.18, lw=0, label="bounds, at all times")
    axes.plot(n, wins / n, color=BLUE, label="success so far")
    if record.purpose == "policy" and record.rule["success"] is not None:
        axes.axhline(record.rule["success"], color=ORANGE, ls="--", label="asked for")
    axes.set(xlabel="episodes", ylabel="success", ylim=(-0.03, 1.03), xlim=(1, max(2, n[-1])))
    axes.legend(loc="best")
    return picture(figure)


def _peaks(record: Record) -> str:
    figure, panels = axes_of(len(PEAKS))
    for axes, (name, label) in zip(panels, PEAKS.items(), strict=True):
        axes.hist([getattr(one, name) for one in record.episodes], bins=30, color=BLUE)
        if (bound := record.rule["bounds"][name]) is not None:
            axes.axvline(bound, color=ORANGE, ls="--")
        axes.set(xlabel=label, ylabel="episodes" if axes is panels[0] else "")
    return picture(figure)


def _strata(record: Record) -> Table:
    rows = []
    for nominal, name in ((True, "the cell as it is"), (False, "cells drawn around it")):
        if chosen := [one for one in record.episodes if one.nominal == nominal]:
            wins = [one for one in chosen if one.success]
            steps = f"{np.mean([one.steps for one in wins]):.1f}" if wins else ""
            returned = f"{np.mean([one.returned for one in chosen]):.3g}"
            rows.append((name, str(len(chosen)), f"{len(wins) / len(chosen):.2f}", steps, returned))
    return Table(("", "episodes", "success", "steps to success", "return"), rows)


def _interventions(record: Record) -> dict:
    steps, counted = sum(one.steps for one in record.episodes), Counter()
    for one in record.episodes:
        counted.update(one.interventions)
    changed = sum(one.intervened for one in record.episodes)
    rows = [(reason, str(count)) for reason, count in counted.most_common()]
    said = f"It changed {changed} of {steps} commands ({changed / max(1, steps):.2%})."
    return {"said": said, "table": Table(("limit", "commands"), rows)}


def _worst(record: Record) -> Table:
    header = ("seed", "success", "steps", "cell", "changed", "velocity", "acceleration",
              "force [N]")  # fmt: skip
    rows = [
        (str(one.seed), "yes" if one.success else ("no", "bad"), str(one.steps),
         "as it is" if one.nominal else "drawn", str(one.intervened), f"{one.velocity:.2f}",
         f"{one.acceleration:.2f}", f"{one.contact_force:.0f}")
        for one in worst(record)[:WORST]
    ]  # fmt: skip
    return Table(header, rows)


def _identity(record: Record) -> Table:
    seeds = f"{record.episodes[0].seed} to {record.episodes[-1].seed}"
    rows = {
        "scene, cell": f"{record.scene}, {record.cell}",
        "what is particular about the cell": _pairs(record.variant),
        "calibrated from": record.calibration.fit if record.calibration else "nothing recorded",
        "suite": _pairs(record.suite),
        "rule": _pairs(record.rule),
        "seeds": f"{seeds} ({len(record.episodes)} of {record.planned})",
        "compared with": record.reference or "nothing",
        **{name.replace("_", " "): value for name, value in record.made.model_dump().items()},
        "packages": ", ".join(f"{name} {version}" for name, version in record.packages.items()),
        "took": f"{record.seconds:.1f} s",
    }
    return Table(("", ""), [(name, (value, "code")) for name, value in rows.items()])


def _pairs(settings: dict) -> str:
    """As people read it, not as Python does."""
    return ", ".join(
        f"{name} {{{_pairs(value)}}}" if isinstance(value, dict) else f"{name} {value}"
        for name, value in settings.items()
    )
