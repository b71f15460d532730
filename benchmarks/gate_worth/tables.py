"""What was found, as tables for a terminal and for a page."""

import statistics
from collections.abc import Iterable

from benchmarks.gate_worth.agreement import GATES, Agreement, agreement, rate
from benchmarks.gate_worth.experiment import MOVED, SPOILED
from benchmarks.replay.report import Table

ORDER = ("cloned", "simulation", "twin")


def agreements(content: dict) -> list[Agreement]:
    """Of both gates, over all bundles of all seeds."""
    return [agreement(content["bundles"], gate, content["asked"]) for gate in GATES]


def tables(content: dict) -> list[Table]:
    """Of what `python -m benchmarks gate_worth` writes."""
    return [_agreement(content), _bundles(content), _calibrated(content), _sabotage(content)]


def _agreement(content: dict) -> Table:
    found, asked = agreements(content), f"{content['asked']:g}"
    rows = [
        ["rank correlation with the twin", *(_interval(one.correlation) for one in found)],
        ["gate less twin, mean", *(f"{one.bias:+.2f}" for one in found)],
        ["gate less twin, root mean square", *(f"{one.error:.2f}" for one in found)],
        [f"admitted, of {len(content['bundles'])}", *(str(one.admitted) for one in found)],
        [f"of these under {asked} on the twin", *(str(one.short) for one in found)],
        ["lowest of these on the twin", *(f"{one.lowest:.2f}" for one in found)],
        ["hardest contact of these on the twin [N]", *(f"{one.hardest:.0f}" for one in found)],
        [f"refused, though {asked} or more on the twin", *(str(one.missed) for one in found)],
    ]
    return Table(["", *(f"{one.gate} gate" for one in found)], rows)


def _interval(estimate: tuple[float, float, float]) -> str:
    value, low, high = estimate
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _bundles(content: dict) -> Table:
    rows, found = [], content["bundles"]
    names = sorted(
        dict.fromkeys(row["bundle"] for row in found),
        key=lambda name: (ORDER.index(name.split("-")[0]), not name.endswith("-half"), name),
    )
    for name in names:
        same = [row for row in found if row["bundle"] == name]
        gates = [_over_seeds([row["gates"][gate] for row in same]) for gate in GATES]
        rows.append([name, *gates, _spread(rate(row["there"]) for row in same)])
    return Table(["bundle", *(f"{gate} gate" for gate in GATES), "twin"], rows)


def _over_seeds(said: list[dict]) -> str:
    admitted = sum(one["alone"]["decision"] == "admitted" for one in said)
    return f"{_spread(rate(one) for one in said)}, {admitted} of {len(said)} admitted"


def _calibrated(content: dict) -> Table:
    """What had to work there, and what learned there, by seed."""
    rows = []
    for place, key, names in (("twin", "bundles", ("cloned-10", "twin")), ("far", "far", MOVED)):
        for row in (row for row in content[key] if row["bundle"] in names):
            said = [_said(row["gates"][gate]) for gate in GATES]
            there = f"{rate(row['there']):.2f}"
            rows.append([place, str(row["seed"]), row["bundle"], *said, there])
    return Table(["cell", "seed", "bundle", *(f"{gate} gate" for gate in GATES), "there"], rows)


def _said(gate: dict) -> str:
    return f"{rate(gate):.2f}, {_decision(gate['alone'])}"


def _decision(said: dict) -> str:
    if said["decision"] == "admitted":
        return f"admitted after {said['after']}"
    return f"refused after {said['after']}"


def _sabotage(content: dict) -> Table:
    """What stopped each, and after how many episodes."""
    rows, places = [], [*SPOILED, *(("far", gate) for gate in GATES)]
    for kind in dict.fromkeys(row["kind"] for row in content["sabotaged"]):
        same = [row for row in content["sabotaged"] if row["kind"] == kind]
        cells = [[r for r in same if (r["of"], r["gate"]) == where] for where in places]
        rows.append([kind, *(_stopped(cell) for cell in cells)])
    return Table(["", *(f"{of}, {gate} gate" for of, gate in places)], rows)


def _stopped(rows: list[dict]) -> str:
    if not rows:
        return ""
    names = dict.fromkeys(name for row in rows for name in row["alone"]["stopped_by"])
    text = f"{', '.join(names)} ({_range(row['alone']['after'] for row in rows)})"
    through = [rate(row["there"]) for row in rows if row["there"]]
    if not through:
        return text
    came = ", ".join(f"{success:.2f}" for success in through)
    return f"{text}; {len(through)} of {len(rows)} ADMITTED, on the twin {came}"


def _range(values: Iterable[int]) -> str:
    values = sorted(values)
    return str(values[0]) if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def _spread(values: Iterable[float]) -> str:
    values = sorted(values)
    return f"{statistics.mean(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"
