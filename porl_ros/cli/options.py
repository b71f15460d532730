"""Options that many commands take, each said once."""

from pathlib import Path
from typing import Annotated

import typer

BundleArgument = Annotated[Path, typer.Argument(help="Policy bundle.")]
RobotOption = Annotated[
    str, typer.Option("--robot", help="Robot config: a path, or a shipped name.")
]
CellOption = Annotated[
    str | None,
    typer.Option("--variant", help="Cell: a name, or a file; default: the robot config's."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=100_000, help="Seed of everything random.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
LearnerOption = Annotated[
    Path | None, typer.Option("--learner-config", help="YAML with learner settings.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
