"""The replay store beside what people use instead, all in one run.

python -m benchmarks replay                # a quarter of an hour
python -m benchmarks replay --slice        # a minute's worth, as `make bench` runs it
python -m benchmarks replay --report       # the tables of docs/replay.md

Contenders take turns within a round, so that whatever else the machine does meets all of them. What
is not installed is left out and named; `pip install -r benchmarks/requirements.txt` installs it.
"""

import json
import os
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from benchmarks.machine import RESULTS, write_results
from benchmarks.replay import properties
from benchmarks.replay.contenders import CONTENDERS, H5pyTableSafe
from benchmarks.replay.measuring import in_child, latency, sampling, sustained
from benchmarks.replay.report import tables

BATCHES = (256, 4096)
LOOP = "nothing (the loop alone)"
Results = dict[str, dict[str, list[dict]]]  # measurement, contender, a dict a round

console = Console(width=160)


def run(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="of each latency measurement")] = 10.0,
    rows: Annotated[int, typer.Option(help="of sustained writing and of sampling")] = 200_000,
    long: Annotated[int, typer.Option(help="rows of the long run")] = 1_000_000,
    slice: Annotated[bool, typer.Option(help="little of everything, no results written")] = False,
    report: Annotated[bool, typer.Option(help="the last results, for a page")] = False,
) -> None:
    """Print the tables; write benchmarks/results/replay.json."""
    if report:
        content = json.loads((RESULTS / "replay.json").read_text())
        print("\n\n".join(table.markdown() for table in tables(content)))
        return
    if slice:
        rounds, seconds, rows, long = 1, 2.0, 10_000, 50_000
    load = [os.getloadavg()[0]]
    results = _compare(rounds, seconds, rows)
    own = _own(rounds, seconds, long)
    load.append(os.getloadavg()[0])
    content = {"rounds": rounds, "seconds": seconds, "rows": rows, "load": load}
    content |= {"compared": results, "own": own}
    console.print(f"medians of {rounds} rounds; CPU is of the process, the loop included")
    for table in tables(content):
        console.print(table.rich())
    if not slice:
        print(write_results("replay", content))


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


def main() -> None:
    """The command, for `python -m benchmarks replay`."""
    typer.run(run)
