"""`porl replay info`: what the runs of a store came to."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from porl_ros.cli.terminal import progress, readable, table_of, tables
from porl_ros.replay.disk.layout import read_schema
from porl_ros.replay.disk.retention import size_of
from porl_ros.replay.schema import ReplaySchema
from porl_ros.replay.tools.blocks import read_run
from porl_ros.replay.tools.runs import overview, runs_of
from porl_ros.replay.tools.statistics import RunStatistics

BARS = " ▁▂▃▄▅▆▇█"
BINS = 18  # of the little curve of success
SENSIBLE = 1e18  # ns; a clock that shows less than the year 2001 counts from its own begin


def show_info(store: Path, plot: Path | None, as_json: bool) -> None:
    """A line a run, JSON if that is wanted, and a picture."""
    with readable(store):
        schema = read_schema(store)
        runs = _statistics(store, schema)
        if as_json:
            print(json.dumps(_as_json(schema, runs), indent=1))
        else:
            tables.print(_info_table(runs))
        if plot:
            from porl_ros.cli.replay_plot import plot_runs

            plot_runs({name: statistics for name, statistics, _ in runs}, store.name, plot)
            Console(stderr=True).print(f"picture -> {escape(str(plot))}")


def _statistics(store: Path, schema: ReplaySchema) -> list[tuple[str, RunStatistics, int]]:
    """(name, what it came to, bytes) of each run."""
    found, runs = [], runs_of(store, schema)
    total = sum(overview(*run).rows for run in runs)
    with progress() as bar:
        task = bar.add_task("reading", total=total)
        for folder, identity in runs:
            statistics = RunStatistics()
            for chunk in read_run(folder, identity):
                statistics.add(chunk)
                bar.advance(task, len(chunk.rows))
            found.append((identity.name, statistics, size_of(folder.path)))
    return found


def _info_table(runs: list[tuple[str, RunStatistics, int]]) -> Table:
    table = table_of("run", "rows", "finished episodes", "policy", "clock")
    for name, run, size in runs:
        finished = run.finished
        cells = [
            [escape(name.replace("/", "\n"))],
            [f"{run.rows:,}", f"{size / run.rows:.0f} bytes each" if run.rows else ""],
            [
                f"{len(finished)}",
                f"success {run.success:.2f}\nmean return {run.mean_return:.3g}" if finished else "",
                _curve([episode.success for episode in finished]),
            ],
            [
                f"versions {_versions(run.versions)}",
                *(f"{who} {part:.0%}" for who, part in run.actors.items()),
            ],
            [f"{run.rate:.3g} Hz", _clock(run.first_stamp), _clock(run.last_stamp)]
            if run.rows
            else [],
        ]
        table.add_row(*("\n".join(filter(None, lines)) for lines in cells))
    return table


def _as_json(schema: ReplaySchema, runs: list[tuple[str, RunStatistics, int]]) -> dict:
    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    described = {
        name: {
            "rows": run.rows, "episodes": len(run.finished), "success": number(run.success),
            "mean_return": number(run.mean_return), "policy_versions": sorted(run.versions),
            "actors": run.actors, "rate_hz": number(run.rate), "bytes": size,
            "first_stamp_ns": run.first_stamp, "last_stamp_ns": run.last_stamp,
        }
        for name, run, size in runs
    }  # fmt: skip
    return {
        "contract_hash": schema.contract_hash,
        "observation_names": schema.observation_names,
        "action_names": schema.action_names,
        "runs": described,
    }


def _curve(successes: list[bool]) -> str:
    """A few bars that show how success went."""
    if not successes:
        return ""
    bins = np.array_split(np.array(successes, float), min(BINS, len(successes)))
    return "".join(BARS[math.ceil(part.mean() * (len(BARS) - 1))] for part in bins)


def _versions(versions: set[int]) -> str:
    """-1 stands for no policy."""
    known = sorted(versions - {-1})
    if not known:
        return "none"
    return f"{known[0]} to {known[-1]}" if len(known) > 1 else f"{known[0]}"


def _clock(stamp: int) -> str:
    """A stamp as people read it: a date, or seconds of a clock that began at zero."""
    if stamp < SENSIBLE:
        return f"{stamp / 1e9:.1f} s"
    return f"{datetime.fromtimestamp(stamp / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
