"""`porl classifier`: learn to tell success from what the policy sees."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from porl_ros.cli.options import RobotOption, SeedOption
from porl_ros.cli.terminal import lines, readable, table_of, tables
from porl_ros.errors import PorlError

app = typer.Typer(
    help="A learned judge of success, for robots on which no function of the sensors is one.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def train(
    store: Annotated[list[Path], typer.Option(help="Replay store to learn from; may be repeated.")],
    output: Annotated[Path, typer.Option(help="New folder for the classifier.")],
    robot: RobotOption = "ur5e_insert",
    hidden: Annotated[
        str, typer.Option(help="Widths of the hidden layers; empty: logistic regression.")
    ] = "64,64",
    threshold: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Probability that counts as success.")
    ] = 0.9,
    steps: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Gradient steps of each of five networks.")
    ] = 1000,
    seed: SeedOption = 0,
    plot: Annotated[Path | None, typer.Option(help="Picture of the calibration, PNG.")] = None,
) -> None:
    """Train on episodes that an operator has marked, or any others that tell success from failure.

    80 % of the episodes train and calibrate it, and what is shown is of the last 20 %. It needs
    ten episodes that succeeded and ten that did not. Then, in the robot config:

    `reward: {source: classifier, path: runs/judge, threshold: 0.9, consecutive: 2}`

    Example: `porl classifier train --store runs/store --output runs/judge --plot judge.png`
    """
    from porl_ros.cli.classifier_training import train_and_save

    with readable(output):
        manifest = train_and_save(store, output, robot, _widths(hidden), threshold, steps, seed)
        _show(manifest.held_out)
        lines.print(f"classifier -> {escape(str(output))}")
        if plot:
            from porl_ros.cli.classifier_plot import plot_calibration

            plot_calibration(manifest.held_out, plot)
            lines.print(f"picture -> {escape(str(plot))}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(help="Folder of a classifier.")],
    as_json: Annotated[bool, typer.Option("--json", help="What it says of itself.")] = False,
) -> None:
    """Show how good a classifier was on the episodes that were held out.

    Example: `porl classifier show runs/judge`
    """
    from porl_ros.learning.classifier import read_manifest

    manifest = read_manifest(path)
    if as_json:
        print(json.dumps(manifest.model_dump(mode="json"), indent=1))
    else:
        _show(manifest.held_out)


def _widths(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and 0 < int(part) <= 4096 for part in parts):
        raise PorlError(f"--hidden = '{text}': must be widths from 1 to 4096, as in 64,64")
    return tuple(map(int, parts))


def _show(held_out) -> None:
    """The confusion matrix, and how far a probability can be believed."""
    matrix = table_of(f"at {held_out.threshold:g}", "said success", "said none")
    matrix.add_row("was success", f"{held_out.true_positives}", f"{held_out.false_negatives}")
    matrix.add_row("was none", f"{held_out.false_positives}", f"{held_out.true_negatives}")
    tables.print(matrix)
    calibration = table_of("probability", "was success", "observations")
    for one in held_out.bins:
        calibration.add_row(f"{one.predicted:.3f}", f"{one.observed:.3f}", f"{one.count}")
    tables.print(calibration)
    lines.print(
        f"{held_out.episodes} episodes held out; calibration error {held_out.calibration_error:.4f}"
        f", Brier score {held_out.brier:.4f}"
    )
