"""Updates a second of the learner beside its rivals and the bare products, all in one run.

    python -m benchmarks learner_speed              # three minutes on two idle cores
    python -m benchmarks learner_speed --slice      # half a minute's worth, as `make bench` runs it

Contenders take turns within a round, so that whatever else the machine does meets all of them. One
thread's seconds are seconds of processor time, for the same reason; others are of wall-clock.
stable-baselines3 is left out and named where it is not installed; `pip install -r
benchmarks/requirements.txt` installs it.
"""

import os
import statistics
import time
from collections.abc import Iterable
from functools import partial
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks.learner_speed.contenders import (
    Setting,
    Update,
    bare_products,
    plain_sac,
    porl,
    stable_baselines,
)
from benchmarks.machine import write_results

FLOOR, CRITICS, WHOLE, SHIPPED = "bare products", "critics", "critics and actor", "as shipped"
RIVAL, PLAIN, GRAPHED = "stable-baselines3", "plain torch", "plain torch, compiled, CUDA graph"
CONTENDERS = {
    FLOOR: bare_products,
    CRITICS: partial(porl, actor=False),
    WHOLE: porl,
    RIVAL: stable_baselines,
    PLAIN: plain_sac,
    SHIPPED: partial(porl, as_shipped=True),
}
# What must hold, and what is compared to what: (of, to, at least this many times its rate).
TARGETS = {"floor": (CRITICS, FLOOR, 1 / 1.5), "rival": (WHOLE, RIVAL, 1.5)}
ENSEMBLES, SIZES = (2, 5, 10), ((256, 256), (128, 128))  # critics; width and batch

console = Console(width=160)


def run(
    rounds: Annotated[int, typer.Option(min=2)] = 15,
    seconds: Annotated[float, typer.Option(help="of each turn of a contender")] = 0.1,
    slice: Annotated[bool, typer.Option(help="one row, few rounds, no results written")] = False,
) -> None:
    """Print the table; write benchmarks/results/learner_speed.json."""
    settings = list(_settings())[:1] if slice else list(_settings())
    before, load = torch.get_num_threads(), [os.getloadavg()[0]]
    rows = []
    for setting in track(settings, "beside others", console=console, transient=True):
        rows.append(_row(setting, 5 if slice else rounds, seconds))
        load.append(os.getloadavg()[0])
    torch.set_num_threads(before)
    console.print(_table(rows))
    for row in rows:
        _show_profiles(row)
    if not slice:
        content = {"rounds": rounds, "seconds": seconds, "load": load, "torch": torch.__version__}
        print(write_results("learner_speed", content | {"rows": rows}))


def main() -> None:
    """The command line."""
    typer.run(run)


def _settings() -> Iterable[Setting]:
    places = [("cpu", 1), ("cpu", 2)] + [("cuda", 1)] * torch.cuda.is_available()
    for device, threads in places:
        for width, batch in SIZES:
            for critics in ENSEMBLES:
                yield Setting(device, threads, critics, width, batch)


def _row(setting: Setting, rounds: int, seconds: float) -> dict:
    torch.set_num_threads(setting.threads)
    contenders = CONTENDERS | (
        {GRAPHED: partial(plain_sac, fast=True)} if setting.device == "cuda" else {}
    )
    updates = {}
    for name, make in contenders.items():
        try:
            updates[name] = make(setting)
        except ImportError as error:
            console.print(
                f"{name} is left out ({error}): pip install -r benchmarks/requirements.txt"
            )
    rates = _rates(updates, setting, rounds, seconds)
    row = {"setting": setting._asdict(), "rates": {k: _spread(v) for k, v in rates.items()}}
    row["ratios"], row["profiles"] = {}, {}
    for target, (of, to, least) in TARGETS.items():
        if to in rates:
            each = [a / b for a, b in zip(rates[of], rates[to], strict=True)]
            row["ratios"][target] = _spread(each) | {"holds": statistics.median(each) >= least}
            if not row["ratios"][target]["holds"]:
                row["profiles"][of] = _profile(updates[of])
    return row


def _rates(
    updates: dict[str, Update], setting: Setting, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Updates a second of each in every round. The first round is thrown away."""
    rates: dict[str, list[float]] = {name: [] for name in updates}
    counts = dict.fromkeys(updates, 3)
    alone = setting.device == "cpu" and setting.threads == 1
    clock = time.process_time if alone else time.perf_counter
    for _ in range(rounds + 1):
        for name, update in updates.items():
            begun = clock()
            for _ in range(counts[name]):
                update()
            if setting.device == "cuda":
                torch.cuda.synchronize()
            rates[name].append(counts[name] / (clock() - begun))
            counts[name] = max(1, round(seconds * rates[name][-1]))
    return {name: each[1:] for name, each in rates.items()}


def _spread(values: list[float]) -> dict[str, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return {"median": median, "lower_quartile": low, "upper_quartile": high}


def _profile(update: Update, updates: int = 50) -> dict[str, float]:
    """Share of the time of an update in the ten operators with most of it; the rest is Python."""
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    begun = time.perf_counter()
    with profile(activities=activities) as profiled:
        for _ in range(updates):
            update()
    whole = 1e6 * (time.perf_counter() - begun)
    events = sorted(profiled.key_averages(), key=lambda e: -e.self_cpu_time_total)[:10]
    return {event.key: event.self_cpu_time_total / whole for event in events}


def _table(rows: list[dict]) -> Table:
    title = "updates a second, medians; in brackets the middle half of the rounds' ratios"
    names = [name for name in (*CONTENDERS, GRAPHED) if any(name in row["rates"] for row in rows)]
    table = Table(title=title)
    for column in ("", "critics", *names, "critics: time of the floor", "times the rival's rate"):
        table.add_column(column, justify="right")
    for row in rows:
        setting = Setting(**row["setting"])
        place = "CUDA" if setting.device == "cuda" else f"{setting.threads} thread(s)"
        table.add_row(
            f"{place}, {setting.width} wide, batch {setting.batch}",
            str(setting.critics),
            *(f"{row['rates'][n]['median']:.0f}" if n in row["rates"] else "-" for n in names),
            _ratio(row, "floor", inverse=True),
            _ratio(row, "rival"),
        )
    return table


def _ratio(row: dict, target: str, inverse: bool = False) -> str:
    if target not in row["ratios"]:
        return "-"
    ratio = row["ratios"][target]
    values = [ratio[key] for key in ("median", "lower_quartile", "upper_quartile")]
    median, low, high = [1 / value for value in values] if inverse else values
    mark = "" if ratio["holds"] else " (!)"
    return f"{median:.2f} ({min(low, high):.2f} to {max(low, high):.2f}){mark}"


def _show_profiles(row: dict) -> None:
    for name, shares in row["profiles"].items():
        setting = Setting(**row["setting"])
        console.print(f"\nprofile of '{name}' at {setting}: share of the time under the profiler")
        for operator, share in shares.items():
            console.print(f"  {share:6.1%}  {operator}")
