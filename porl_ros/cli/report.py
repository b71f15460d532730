"""`porl report`: one HTML file of a fine-tuning, or once more of a validation."""

from pathlib import Path

from rich.markup import escape

from porl_ros.cli.terminal import lines, readable
from porl_ros.cli.validate import notes, report_on
from porl_ros.errors import PorlError
from porl_ros.policy.bundle import MANIFEST
from porl_ros.validation.record import Record, read_record
from porl_ros.validation.report.finetuning_page import NOT_FILMED, FineTuningReport
from porl_ros.validation.report.run_folder import find_run

NAME = "report.html"


def report_anything(
    path: Path, robot: str | None, store: Path | None, reference: Path | None, video: bool
) -> None:
    """Of a bundle that was validated, or of a fine-tuning's folder."""
    if (path / MANIFEST).is_file():
        if store:
            raise PorlError(f"{path}: is a policy bundle, which has no --store; leave that out")
        written = _report_bundle(path, robot, reference, video)
    else:
        if reference:
            raise PorlError(
                f"{path}: is no policy bundle, so it was compared with no --reference; leave that "
                "out, or name a bundle"
            )
        written = report_run(path, robot, store, video)
    lines.print(f"report {escape(str(written))}")


def report_run(path: Path, robot: str | None, store: Path | None, video: bool) -> Path:
    """Of a fine-tuning, into its folder; returns the file."""
    with readable(path):
        report, films = FineTuningReport(find_run(path, robot, store)), NOT_FILMED
        try:
            if video:
                with notes.status("filming the last failures"):
                    films = report.film()
        finally:
            report.write(path / NAME, films)
    if films.why_not and video:
        notes.print(f"[yellow]{escape(films.why_not)}[/]")
    return path / NAME


def _report_bundle(path: Path, robot: str | None, reference: Path | None, video: bool) -> Path:
    record = read_record(path)
    with readable(path):
        return report_on(robot or record.robot, path, record, _reference(record, reference), video)


def _reference(record: Record, bundle: Path | None) -> Record | None:
    if bundle is None:
        return None
    found = read_record(bundle)
    if found.made.weights_sha256 != record.reference:
        raise PorlError(
            f"{bundle}: is not what {record.bundle} was compared with "
            f"({(record.reference or 'nothing')[:12]}); name that, or leave --reference out"
        )
    return found
