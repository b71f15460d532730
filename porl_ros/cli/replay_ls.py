"""`porl replay ls`: the stores below a folder."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from porl_ros.cli.terminal import lines, readable, table_of, tables
from porl_ros.errors import PorlError
from porl_ros.replay.disk.layout import read_schema
from porl_ros.replay.disk.retention import size_of
from porl_ros.replay.errors import StoreFormatError
from porl_ros.replay.tools.runs import Overview, overview, runs_of


def list_stores(root: Path) -> None:
    """A table of the stores below a folder."""
    if not root.is_dir():
        raise PorlError(f"{root}: there is no such folder; name one that holds stores")
    table = table_of("store", "holds", "on disk", "contract", "state")
    with readable(root):
        for store in _find_stores(root):
            _add_store(table, store)
    if table.rows:
        tables.print(table)
    else:
        lines.print(f"no replay store below {escape(str(root))}")


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
