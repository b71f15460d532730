"""`porl replay verify` and `repair`: is a store sound, and what can be done if it is not."""

from pathlib import Path

from rich.markup import escape

from porl_ros.cli.terminal import lines, progress, readable
from porl_ros.replay.disk.layout import read_schema
from porl_ros.replay.reading.local import LocalRun
from porl_ros.replay.tools.check import check_root, check_run
from porl_ros.replay.tools.repair import Repair, repair_run
from porl_ros.replay.tools.runs import runs_of


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
        lines.print(f"note: {escape(note)}")
    for fault in faults:
        lines.print(f"[red]fault:[/] {escape(fault)}")
    verdict = f"[red]{len(faults)} faults[/]" if faults else "[green]sound[/]"
    lines.print(
        f"{verdict}: {rows:,} rows in {len(runs)} runs, {segments} segments and {journals} "
        "journals proved",
    )
    return 1 if faults else 0


def repair_store(store: Path, dry_run: bool) -> int:
    """Repair every run and say what was done; the exit code."""
    code = done = 0
    with readable(store):
        schema = read_schema(store)
        for folder, identity in runs_of(store, schema):
            repair = repair_run(folder, identity, dry_run)
            if repair.needed:
                done += 1
                _tell_repair(repair, dry_run)
            code |= bool(repair.after.faults and not dry_run)
    if not done:
        lines.print("nothing to repair")
    return code


def _tell_repair(repair: Repair, dry_run: bool) -> None:
    before, after = repair.before, repair.after
    if repair.refused:
        lines.print(f"[yellow]left alone:[/] {before.run} is being written; stop its writer first")
    lines.print(f"{escape(before.run)}:")
    for fault in before.faults:
        lines.print(f"  [red]fault:[/] {escape(fault)}")
    waiting = sum(before.journals.values())
    if dry_run or repair.refused:
        for path in before.damaged:
            lines.print(f"  would set aside {escape(str(path))}")
        lines.print(f"  would seal {waiting} rows of {len(before.journals)} journals")
        return
    for path in repair.aside:
        lines.print(f"  set aside: {escape(str(path))}")
    lines.print(f"  {waiting} rows of {len(before.journals)} journals sealed")
    for gap in after.gaps:
        lines.print(f"  [red]lost:[/] {gap}")
    lines.print(f"  kept: {after.rows} rows, all of them proved")
