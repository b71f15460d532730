"""What the gate is worth: its verdicts on bundles of many qualities, against the twin.

    python -m benchmarks gate_worth             # three seeds; a quarter of an hour a seed
    python -m benchmarks gate_worth --seed 1    # one of them
    python -m benchmarks gate_worth --slice     # little of everything

What was made and run is kept in runs/benchmark-gate_worth; a run that was cut off goes on there.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.gate_worth.bundles import BASE, ROBOT, Extent, make
from benchmarks.gate_worth.experiment import Experiment
from benchmarks.gate_worth.judging import Bench
from benchmarks.gate_worth.pictures import draw
from benchmarks.gate_worth.tables import agreements, tables
from benchmarks.machine import RESULTS, write_results
from porl_ros.learning.config import PorlConfig
from porl_ros.robot.loading import load_robot
from porl_ros.validation.evaluation import Evaluator

RUNS = Path("runs/benchmark-gate_worth")
SLICE = Extent(
    seeds=(0,),
    demonstrations=(2, BASE),
    learner=PorlConfig(presample_steps=300, total_steps=400, warmup_mc_updates=50,
                       warmup_td_updates=50, memory_capacity=1000),
    recorded=6,
    judged=16,
    on_twin=16,
)  # fmt: skip

console = Console(width=160)


def run(
    seed: Annotated[list[int] | None, typer.Option(help="one or several of them")] = None,
    slice: Annotated[bool, typer.Option(help="little of everything, no results written")] = False,
    report: Annotated[bool, typer.Option(help="the last results, for a page")] = False,
) -> None:
    """Print the tables; write benchmarks/results/gate_worth.json and docs/images/gate_worth.png."""
    if report:
        content = json.loads((RESULTS / "gate_worth.json").read_text())
        print("\n\n".join(table.markdown() for table in tables(content)))
    elif slice:
        with tempfile.TemporaryDirectory() as folder:
            _print(_measure(Path(folder), SLICE))
    else:
        content = _measure(RUNS, Extent(seeds=tuple(seed)) if seed else Extent())
        _print(content)
        print(write_results("gate_worth", content))
        print(draw(content["bundles"], agreements(content), content["asked"]))


def _measure(folder: Path, extent: Extent) -> dict:
    config = load_robot(ROBOT)
    content = {"asked": config.gate.rule.success, "bundles": [], "cells": [], "sabotaged": []}
    content |= {"rule": config.gate.rule.model_dump(mode="json"), "seeds": extent.seeds}
    with Evaluator(ROBOT) as evaluator, console.status("") as status:
        bench = Bench(config, evaluator, folder / "episodes")
        for seed in extent.seeds:
            own = {"seed": seed}
            status.update(f"seed {seed}: cloning, fine-tuning, calibrating")
            bundles = make(folder / f"seed-{seed}", seed, extent)
            experiment = Experiment(config, bench, folder / f"seed-{seed}", extent)
            for bundle in bundles:
                status.update(f"seed {seed}: {bundle.name}")
                content["bundles"].append(own | experiment.judge(bundle))
            content["cells"].append(own | experiment.cell())
            told = lambda kind, seed=seed: status.update(f"seed {seed}: {kind}")  # noqa: E731
            content["sabotaged"] += [own | row for row in experiment.sabotage(told)]
            console.print(f"seed {seed} is done")
    return content


def _print(content: dict) -> None:
    for table in tables(content):
        console.print(table.rich())


def main() -> None:
    """The command, for `python -m benchmarks gate_worth`."""
    typer.run(run)
