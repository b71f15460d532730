"""`porl calibrate`: the cell of the simulation that explains what a robot recorded."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from porl_ros.cli.options import RobotOption
from porl_ros.cli.terminal import lines, readable, tables
from porl_ros.simulation.variant import CellFile, Variant

UNITS = {"damping": "", "friction": "", "payload": "kg", "latency": "ms"}


def calibrate(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Replay stores of this robot.")
    ],
    output: Annotated[Path, typer.Option(help="New file for the cell, YAML.")],
    robot: RobotOption = "ur5e_insert",
    variant: Annotated[
        str | None,
        typer.Option(help="Cell to begin from, and to keep what cannot be told. A name or a file."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture of what is left, PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cell as JSON.")] = False,
) -> None:
    """Estimate what a real cell is like from episodes that were recorded in it.

    The commands that were sent are replayed in MuJoCo, and damping, latency, payload, friction and
    the error of the estimated place are chosen so that the simulated tool goes where the real one
    went. Each comes with a 95 % interval, or with the reason why these recordings cannot tell it.

    It needs some twenty episodes with a beginning and an end, whatever became of them, and a minute
    or two. The file is taken wherever a cell is named:

    `porl evaluate runs/base --variant cell.yaml`

    Example: `porl calibrate runs/store --variant calibrated --output cell.yaml --plot cell.png`
    """
    from porl_ros.cli.calibrate_run import estimate

    with readable(output):
        cell, fitted, start = estimate(stores, output, robot, variant)
        if plot:
            from porl_ros.cli.calibrate_plot import plot_residuals

            plot_residuals(fitted, plot)
    if as_json:
        print(json.dumps(cell.model_dump(mode="json"), indent=1))
        return
    tables.print(_table(cell, start))
    report = cell.calibration
    for why in dict.fromkeys(report.untold.values()):
        names = [name for name, reason in report.untold.items() if reason == why]
        lines.print(f"cannot be told, and stays as it was: {', '.join(names)}: {why}")
    lines.print(escape(report.fit))
    lines.print(f"cell -> {escape(str(output))}")
    if plot:
        lines.print(f"picture -> {escape(str(plot))}")


def _table(cell: CellFile, start: Variant) -> Table:
    table = Table("parameter", "began at", "estimate", "95 % interval")
    report = cell.calibration
    for name, ends in report.intervals.items():
        shown = [_shown(name, value) for value in ends]
        now, then = _shown(name, _value(cell.variant, name)), _shown(name, _value(start, name))
        table.add_row(name, then, now, " to ".join(shown))
    if "estimate_noise" not in report.untold:
        noise = [_shown("estimate_noise", v.estimate_noise) for v in (start, cell.variant)]
        table.add_row("estimate_noise", *noise, "from the scatter of the offsets")
    return table


def _value(variant: Variant, name: str) -> float | None:
    key, _, axis = name.partition(".")
    value = getattr(variant, key)
    return value["xyz".index(axis)] if axis else value


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "as in the scene"
    if name.startswith("estimate"):
        return f"{value * 1e3:.2f} mm"
    return f"{value * 1e3:.1f} ms" if name == "latency" else f"{value:.3f} {UNITS[name]}".strip()
