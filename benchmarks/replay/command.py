"""The replay store beside what people use instead, all in one run.

python -m benchmarks replay                # a quarter of an hour
python -m benchmarks replay --slice        # a minute's worth, as `make bench` runs it

Contenders take turns within a round, so that whatever else the machine does meets all of them. What
is not installed is left out and named; `pip install -r benchmarks/requirements.txt` installs it.
"""

import os
import statistics
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import write_results
from benchmarks.replay import properties
from benchmarks.replay.contenders import CONTENDERS, H5pyTableSafe
from benchmarks.replay.measuring import in_child, latency, sampling, sustained

BATCHES = (256, 4096)
LOOP = "nothing (the loop alone)"
COLUMNS = (  # measurement, key, title
    ("latency", "p50_us", "log p50 \\[us]"),
    ("latency", "p99_us", "p99"),
    ("latency", "max_us", "max"),
    ("latency", "rate", "rows/s of 1000"),
    ("latency", "cpu_percent", "CPU \\[%]"),
    ("sustained", "rows_per_s", "rows/s at most"),
    ("sustained", "disk_bytes_per_row", "disk \\[B/row]"),
    ("sampling", "memory_bytes_per_row", "memory \\[B/row]"),
    ("sampling", "batches_of_256_per_s", "batches of 256 \\[1/s]"),
    ("sampling", "batches_of_4096_per_s", "of 4096"),
)
Results = dict[str, dict[str, list[dict]]]  # measurement, contender, a dict a round

console = Console(width=160)


def run(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="of each latency measurement")] = 10.0,
    rows: Annotated[int, typer.Option(help="of sustained writing and of sampling")] = 200_000,
    long: Annotated[int, typer.Option(help="rows of the long run")] = 1_000_000,
    slice: Annotated[bool, typer.Option(help="little of everything, no results written")] = False,
) -> None:
    """Print the tables; write benchmarks/results/replay.json."""
    if slice:
        rounds, seconds, rows, long = 1, 2.0, 10_000, 50_000
    load = [os.getloadavg()[0]]
    results = _compare(rounds, seconds, rows)
    own = _own(rounds, seconds, long)
    load.append(os.getloadavg()[0])
    console.print(_table(results, rounds))
    console.print(_own_table(own))
    if not slice:
        content = {"rounds": rounds, "seconds": seconds, "rows": rows, "load": load}
        print(write_results("replay", content | {"compared": results, "own": own}))


def _compare(rounds: int, seconds: float, rows: int) -> Results:
    """Every measurement of every contender in every round; one that is not installed has none."""
    sampled = [name for name in CONTENDERS if name != H5pyTableSafe.name]  # as the other h5py
    plans = {
        "latency": (latency, (seconds,), [LOOP, *CONTENDERS]),
        "sustained": (sustained, (rows, seconds), [*CONTENDERS]),
        "sampling": (sampling, (rows, BATCHES, min(3.0, seconds)), sampled),
    }
    results: Results = {kind: {name: [] for name in plans[kind][2]} for kind in plans}
    turns = [(kind, name) for _ in range(rounds) for kind in plans for name in plans[kind][2]]
    for kind, name in track(turns, "beside others", console=console, transient=True):
        measure, options, _ = plans[kind]
        measured = in_child(measure, name, *options)
        if measured:
            results[kind][name].append(measured)
    return results


def _own(rounds: int, seconds: float, long: int) -> dict[str, list[dict]]:
    plans = {
        "staleness": (properties.staleness, seconds),
        "camera": (properties.camera, seconds),
        "long_run": (properties.long_run, long),
        "nothing_sealed": (properties.nothing_sealed, long),
    }
    turns = [(name, *plan) for _ in range(rounds) for name, plan in plans.items()]
    own: dict[str, list[dict]] = {name: [] for name in plans}
    for name, measure, option in track(turns, "our own", console=console, transient=True):
        own[name].append(in_child(measure, option))
    return own


def _spread(values: list[float]) -> str:
    """Median, and from where to where."""
    if not values:
        return "not installed"
    digits = 0 if max(values) >= 10 else 1
    middle, low, high = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low}-{high})"


def _table(results: Results, rounds: int) -> Table:
    title = f"median of {rounds} rounds (from-to); CPU is of the process, the loop included"
    table = Table("", *(title for *_, title in COLUMNS), title=title)
    for name in results["latency"]:
        cells = []
        for kind, key, _ in COLUMNS:
            measured = results[kind].get(name)
            cells.append("" if measured is None else _spread([one[key] for one in measured]))
        table.add_row(name, *cells)
    return table


def _own_table(own: dict[str, list[dict]]) -> Table:
    table = Table("porl_ros", "median (from-to)")
    fresh = own["staleness"]
    lines = {
        "logged until it can be sampled, p50 [ms]": [one["p50_ms"] for one in fresh],
        "p99 [ms]": [one["p99_ms"] for one in fresh],
        "maximum [ms]": [one["max_ms"] for one in fresh],
        "with a camera, log p99 [us]": [one["p99_us"] for one in own["camera"]],
        "log p99 of rows with a frame [us]": [one["frame_p99_us"] for one in own["camera"]],
        "CPU, the loop included [%]": [one["cpu_percent"] for one in own["camera"]],
        "grown since the first tenth of the rows [MB]": [
            one["grown_bytes"] / 1e6 for one in own["long_run"]
        ],
        "grown, Python objects": [one["grown_objects"] for one in own["long_run"]],
        "recovery after a crash [s]": [one["recovery_s"] for one in own["long_run"]],
        "recovery if nothing was ever sealed [s]": [
            one["recovery_s"] for one in own["nothing_sealed"]
        ],
    }
    for name, values in lines.items():
        table.add_row(name.replace("[", "\\["), _spread([float(value) for value in values]))
    table.caption = f"{own['long_run'][0]['rows']:,} rows"
    return table


def main() -> None:
    """The command, for `python -m benchmarks replay`."""
    typer.run(run)
