"""What the gate is worth: its verdicts on bundles of many qualities, against the twin.

    python -m benchmarks gate_worth             # three seeds; the better part of an hour
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
from rich.status import Status

from benchmarks.gate_worth.agreement import GATES
from benchmarks.gate_worth.bundles import BASE, FAR, ROBOT, TWIN, Extent, make
from benchmarks.gate_worth.experiment import FEW, MOVED, SPOILED, Experiment
from benchmarks.gate_worth.judging import Bench
from benchmarks.gate_worth.pictures import draw
from benchmarks.gate_worth.tables import agreements, tables
from benchmarks.machine import RESULTS, write_results
from porl_ros.learning.config import PorlConfig
from porl_ros.robot.config import RobotConfig
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
    rule = config.gate.rule
    content = {"seeds": extent.seeds, "asked": rule.success, "rule": rule.model_dump(mode="json")}
    content |= {key: [] for key in ("bundles", "far", "sabotaged", "cells")}
    with Evaluator(ROBOT) as evaluator, console.status("") as status:
        bench = Bench(config, evaluator, folder / "episodes")
        for seed in extent.seeds:
            found = _seed(config, bench, folder / f"seed-{seed}", seed, extent, status)
            for key, rows in found.items():
                content[key] += [{"seed": seed} | row for row in rows]
            console.print(f"seed {seed} is done")
    return content


def _seed(
    config: RobotConfig, bench: Bench, folder: Path, seed: int, extent: Extent, status: Status
) -> dict[str, list[dict]]:
    def told(text: str) -> None:
        status.update(f"seed {seed}: {text}")

    told("cloning, fine-tuning, calibrating")
    bundles, found = make(folder, seed, extent), {}
    twin, far = (Experiment(config, bench, folder, place, extent) for place in (TWIN, FAR))
    for key, place, names in (
        ("bundles", twin, bundles),
        ("far", far, [folder / n for n in MOVED]),
    ):
        found[key] = []
        for bundle in names:
            told(f"{bundle.name}, {key}")
            found[key].append(place.judge(bundle))
    spoiled = [twin.sabotage(*which, told=told) for which in SPOILED]
    spoiled += [far.sabotage("far", gate, FEW, told) for gate in GATES]
    return found | {"sabotaged": sum(spoiled, []), "cells": [twin.cell(), far.cell()]}


def _print(content: dict) -> None:
    for table in tables(content):
        console.print(table.rich())


def main() -> None:
    """The command, for `python -m benchmarks gate_worth`."""
    typer.run(run)
