"""What was measured, as tables for a terminal and for a page."""

import statistics
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table as RichTable

WRITING = (  # measurement, key, title
    ("latency", "p50_us", "log p50 [us]"),
    ("latency", "p99_us", "p99 [us]"),
    ("latency", "max_us", "max [us]"),
    ("latency", "rate", "rows/s of 1,000"),
    ("latency", "cpu_percent", "CPU [%]"),
    ("sustained", "rows_per_s", "rows/s at most"),
)
READING = (
    ("sampling", "batches_of_256_per_s", "batches of 256 [1/s]"),
    ("sampling", "batches_of_4096_per_s", "batches of 4,096 [1/s]"),
    ("sustained", "disk_bytes_per_row", "disk [B/row]"),
    ("sampling", "memory_bytes_per_row", "memory [B/row]"),
)
OWN = (  # measurement, key, title
    ("staleness", "p50_ms", "logged until it can be sampled, p50 [ms]"),
    ("staleness", "p99_ms", "p99 [ms]"),
    ("staleness", "max_ms", "max [ms]"),
    ("camera", "p99_us", "with a camera, log p99 [us]"),
    ("camera", "frame_p99_us", "log p99 of rows with a frame [us]"),
    ("camera", "cpu_percent", "CPU [%]"),
    ("long_run", "rows", "rows of the long run"),
    ("long_run", "grown_bytes", "process grown since a tenth of them [B]"),
    ("long_run", "grown_objects", "Python objects more"),
    ("long_run", "recovery_s", "recovery after a crash [s]"),
    ("nothing_sealed", "recovery_s", "recovery if nothing was ever sealed [s]"),
)


class Table(NamedTuple):
    """Cells of text; the first of a row is its name."""

    columns: list[str]
    rows: list[list[str]]

    def rich(self) -> RichTable:
        table = RichTable(*map(escape, self.columns))
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(content: dict) -> list[Table]:
    """Of what `python -m benchmarks replay` writes."""
    own = [[title, _spread(content["own"][kind], key)] for kind, key, title in OWN]
    compared = [_compared(content["compared"], columns) for columns in (WRITING, READING)]
    return [*compared, Table(["porl_ros", "median (from-to)"], own)]


def _compared(results: dict, columns: tuple) -> Table:
    names = [name for name in results["latency"] if any(name in results[c[0]] for c in columns)]
    rows = [
        [name, *(_spread(results[kind].get(name), key) for kind, key, _ in columns)]
        for name in names
    ]
    return Table(["", *(title for *_, title in columns)], rows)


def _spread(rounds: list[dict] | None, key: str) -> str:
    """Median, and from where to where; nothing if it was not to be measured."""
    if not rounds:
        return "" if rounds is None else "not installed"
    values = [float(one[key]) for one in rounds]
    digits = 0 if max(map(abs, values)) >= 10 else 1
    middle, low, high = (f"{f(values):,.{digits}f}" for f in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low} to {high})"
