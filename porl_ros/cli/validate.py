"""`porl validate`: the gate from a terminal."""

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.terminal import lines, progress, readable, table_of, tables
from porl_ros.robot.loading import load_robot
from porl_ros.validation.admission import NotAdmitted, verify
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import Progress, Validation
from porl_ros.validation.record import Criterion, Record, record_path, report_path
from porl_ros.validation.report.clips import film_worst
from porl_ros.validation.report.validation_page import NOT_FILMED, worst, write_report

WORST = 5  # seeds that are named

notes = Console(stderr=True, highlight=False, soft_wrap=True)


def validate_policy(
    robot: str,
    bundle: Path,
    as_base: bool,
    reference: Path | None,
    workers: int | None,
    video: bool,
    as_json: bool,
) -> int:
    """Judge, write record and report, show the result; returns the exit code."""
    validation = Validation(robot, bundle, as_base, reference)
    with readable(bundle), progress() as bar, Evaluator(robot, workers=workers) as evaluator:
        task = bar.add_task("validating", total=validation.planned)
        record = validation.run(
            evaluator, lambda p: bar.update(task, completed=p.episodes, description=_of(p))
        )
    with readable(bundle):
        report_on(robot, bundle, record, validation.reference, video)
    if as_json:
        print(json.dumps(record.model_dump(mode="json"), indent=1))
    else:
        _show(record, bundle)
    return 0 if record.admitted else ExitCode.NOT_GOOD_ENOUGH


def report_on(
    robot: str, bundle: Path, record: Record, reference: Record | None, video: bool
) -> Path:
    """Write the report, with films of the worst episodes if they can be made; else that is said.
    Whoever does not want to wait for them gets it without. Raises OSError."""
    films, path = NOT_FILMED, report_path(bundle)
    try:
        if video:
            with notes.status("filming the worst episodes"):
                films = film_worst(robot, bundle.resolve(), record)
    finally:
        write_report(path, record, reference, films)
    if films.why_not and video:
        notes.print(f"[yellow]{escape(films.why_not)}[/]")
    return path


def check_admission(robot: str, bundle: Path, as_json: bool) -> int:
    """Say whether the bundle may act, as the policy node would; returns the exit code."""
    try:
        record = verify(bundle, load_robot(robot)).record
    except NotAdmitted as error:
        lines.print(f"[bold red]not admitted[/] ({error.reason}): {escape(str(error))}")
        return ExitCode.NOT_GOOD_ENOUGH
    if as_json:
        print(json.dumps(record.model_dump(mode="json"), indent=1))
    else:
        _show(record, bundle)
    return 0


def _of(progress: Progress) -> str:
    return f"validating, {progress.successes} of {progress.episodes} successful"


def _show(record: Record, bundle: Path) -> None:
    table = table_of("what", "found", "interval", "asked for", "")
    for criterion in record.criteria:
        table.add_row(*_row(criterion))
    tables.print(table)
    cell = f"{record.scene}, cell {record.cell}"
    failed = [str(one.seed) for one in worst(record) if not one.success]
    lines.print(
        f"{len(record.episodes)} of {record.planned} episodes in {escape(cell)}, seeds from "
        f"{record.episodes[0].seed}, {record.seconds:.0f} s; worst seeds "
        f"{', '.join(failed[:WORST]) or 'none'}"
    )
    if record.calibration:
        lines.print(f"the cell was calibrated from {escape(record.calibration.fit)}")
    colour = "green" if record.admitted else "red"
    lines.print(f"[bold {colour}]{record.decision}[/]: {escape(record.why)}")
    lines.print(
        f"record {escape(str(record_path(bundle)))}, report {escape(str(report_path(bundle)))}"
    )


def _row(criterion: Criterion) -> list[str]:
    found = "" if criterion.found is None else f"{criterion.found:.3g}"
    low, high = criterion.low, criterion.high
    interval = "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
    holds = {True: "[green]holds[/]", False: "[red]does not hold[/]", None: "not shown"}
    verdict = holds[criterion.holds] if criterion.asked else "measured only"
    return [criterion.name, found, interval, criterion.asked, verdict]
