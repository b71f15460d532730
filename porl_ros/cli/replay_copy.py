"""Stores into other shapes: `porl replay prune`, `compact`, `merge` and `export`."""

from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape

from porl_ros.cli.terminal import lines, progress, readable
from porl_ros.errors import PorlError
from porl_ros.replay.disk.layout import names_in, read_schema
from porl_ros.replay.disk.retention import Pruner, Retention, size_of
from porl_ros.replay.tools.check import require_sound
from porl_ros.replay.tools.copy import copy_stores
from porl_ros.replay.tools.runs import Run, overview, runs_of


def prune_store(store: Path, limits: Retention, dry_run: bool) -> None:
    """Bring every robot of a store within the limits."""
    with readable(store):
        read_schema(store)
        for robot in names_in(store / "writers"):
            pruner = Pruner(store, robot, limits)
            over = pruner.plan()
            dropped = over if dry_run else pruner.apply()
            what = f"{len(dropped)} segments, {decimal(sum(s.bytes for s in dropped))}"
            lines.print(f"{escape(robot)}: {'would drop' if dry_run else 'dropped'} {what}")
            if len(dropped) < len(over):
                lines.print(f"  {len(over) - len(dropped)} stay for now: a reader is in the way")


def copy(stores: list[Path], output: Path) -> None:
    """One compact store of all the runs."""
    with readable(output):
        total = sum(overview(*run).rows for s in stores for run in runs_of(s, read_schema(s)))
        with progress() as bar:
            task = bar.add_task("copying and proving", total=total)
            rows = copy_stores(stores, output, progress=lambda rows: bar.advance(task, rows))
        before = sum(size_of(store / "writers") for store in stores)
        after = size_of(output / "writers")
    lines.print(
        f"{rows:,} rows, {decimal(before)} -> {decimal(after)}, proved row for row -> "
        f"{escape(str(output))}"
    )


def export_store(store: Path, npz: Path | None, mcap: Path | None, only: list[str]) -> None:
    """Write what was asked for."""
    for path in filter(None, (npz, mcap)):
        if path.exists():
            raise PorlError(f"{path}: is there already and nothing is overwritten; name another")
        if not path.absolute().parent.is_dir():
            raise PorlError(f"{path}: its folder does not exist; make it first")
    with readable(store):
        schema = read_schema(store)
        runs = _chosen(runs_of(store, schema), only)
        for run in runs:
            require_sound(*run)
        total = sum(overview(*run).rows for run in runs)
        with progress() as bar:
            if npz:
                from porl_ros.replay.tools.export_npz import export_npz

                task = bar.add_task("arrays", total=total)
                done = export_npz(runs, schema, npz, lambda rows: bar.advance(task, rows))
                left = f", {done.left_out} rows without a next observation left out"
                lines.print(
                    f"{done.rows:,} transitions, {done.episodes} episodes"
                    f"{left if done.left_out else ''} -> {escape(str(npz))}"
                )
            if mcap:
                from porl_ros.replay.tools.export_mcap import export_mcap

                task = bar.add_task("messages", total=total)
                rows = export_mcap(runs, schema, mcap, lambda rows: bar.advance(task, rows))
                lines.print(f"{rows:,} rows of {len(runs)} runs -> {escape(str(mcap))}")


def _chosen(runs: list[Run], only: list[str]) -> list[Run]:
    names = {identity.name for _, identity in runs}
    for name in only:
        if name not in names:
            raise PorlError(f"--run {name}: no such run; have {', '.join(sorted(names)) or 'none'}")
    return [run for run in runs if not only or run[1].name in only]
