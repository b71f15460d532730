"""Looking at stores: `porl replay ls`, `info` and `verify`."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from porl_ros.errors import PorlError
from porl_ros.replay.blocks import read_run
from porl_ros.replay.check import check_root, check_run
from porl_ros.replay.errors import StoreFormatError
from porl_ros.replay.layout import read_schema
from porl_ros.replay.local import LocalRun
from porl_ros.replay.retention import size_of
from porl_ros.replay.runs import Overview, overview, runs_of
from porl_ros.replay.schema import ReplaySchema
from porl_ros.replay.statistics import RunStatistics

BARS = " ▁▂▃▄▅▆▇█"
BINS = 18  # of the little curve of success
SENSIBLE = 1e18  # ns; a clock that shows less than the year 2001 counts from its own begin

console = Console()


def progress() -> Progress:
    """A bar for people; where nobody looks there is none."""
    terminal = Console(stderr=True)
    return Progress(console=terminal, transient=True, disable=not terminal.is_terminal)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the file system refuses is told as any other error."""
    try:
        yield
    except OSError as error:
        raise PorlError(
            f"{error.filename or path}: {error.strerror or error}; make it readable for this user, "
            "or free the disk"
        ) from error


def list_stores(root: Path) -> None:
    """A table of the stores below a folder."""
    if not root.is_dir():
        raise PorlError(f"{root}: there is no such folder; name one that holds stores")
    table = _table("store", "holds", "on disk", "contract", "state")
    with readable(root):
        for store in _find_stores(root):
            _add_store(table, store)
    if table.rows:
        console.print(table)
    else:
        console.print(f"no replay store below {escape(str(root))}")


def _table(name: str, *others: str) -> Table:
    """Names may be long and are folded; what is beside them is not."""
    columns = [Column(other, no_wrap=True) for other in others]
    return Table(Column(name, overflow="fold"), *columns, show_lines=True)


def _find_stores(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(root):
        below.sort()
        if "writers" in below and "zarr.json" in files:
            below.clear()  # a store holds no others
            yield Path(folder)


def _add_store(table: Table, store: Path) -> None:
    try:
        schema = read_schema(store)
    except StoreFormatError as error:
        table.add_row(escape(str(store)), "", decimal(size_of(store)), "", f"[red]{error}[/]")
        return
    found = [(identity, overview(folder, identity)) for folder, identity in runs_of(store, schema)]
    runs = [run for _, run in found]
    written = max((run.written for run in runs), default=0.0)
    robots = ", ".join(sorted({identity.robot for identity, _ in found}))
    table.add_row(
        f"{escape(str(store))}\n[dim]{escape(robots)}[/]",
        f"{sum(run.rows for run in runs):,} rows\n{sum(run.episodes for run in runs):,} episodes\n"
        + (f"{len(runs)} runs" if len(runs) != 1 else "1 run"),
        f"{decimal(sum(run.size for run in runs))}\n"
        + (f"{datetime.fromtimestamp(written):%Y-%m-%d %H:%M}" if written else "never written"),
        schema.contract_hash[:8],
        _state(runs),
    )


def _state(runs: list[Overview]) -> str:
    """Of a store: what its runs say that is worst, or most alive."""
    states = {run.state for run in runs}
    colours = {"damaged": "red", "needs recovery": "yellow", "writing": "green"}
    told = [f"[{colour}]{state}[/]" for state, colour in colours.items() if state in states]
    return "\n".join(told) or "closed"


def show_info(store: Path, plot: Path | None, as_json: bool) -> None:
    """A line a run, JSON if that is wanted, and a picture."""
    with readable(store):
        schema = read_schema(store)
        runs = _statistics(store, schema)
        if as_json:
            print(json.dumps(_as_json(schema, runs), indent=1))
        else:
            console.print(_info_table(runs))
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
    table = _table("run", "rows", "finished episodes", "policy", "clock")
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


def verify_store(store: Path) -> int:
    """Check everything and say what was found; the exit code."""
    with readable(store):
        schema, faults = check_root(store)
        notes: list[str] = []
        rows = segments = journals = 0
        runs = runs_of(store, schema)
        total = sum(len(LocalRun(*run).sources()) for run in runs)
        with progress() as bar:
            task = bar.add_task("checking", total=total)
            for folder, identity in runs:
                found = check_run(folder, identity, lambda: bar.advance(task))
                faults += found.faults + found.images
                notes += found.notes
                rows, segments = rows + found.rows, segments + found.segments
                journals += len(found.journals)
    for note in notes:
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)
    for fault in faults:
        console.print(f"[red]fault:[/] {escape(fault)}", highlight=False, soft_wrap=True)
    verdict = f"[red]{len(faults)} faults[/]" if faults else "[green]sound[/]"
    console.print(
        f"{verdict}: {rows:,} rows in {len(runs)} runs, {segments} segments and {journals} "
        "journals proved",
        highlight=False,
    )
    return 1 if faults else 0
