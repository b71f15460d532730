"""From result files to the figures of the report; nothing here knows how they are shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.finetuning.curves import area, at, first_at
from benchmarks.finetuning.methods import BUDGET, COMMON, METHODS
from benchmarks.finetuning.results import FOLDER, Cell, State, read, state
from benchmarks.finetuning.statistics import (
    Estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
)
from benchmarks.finetuning.tasks import TASKS

Runs = Mapping[str, Mapping[str, Sequence[dict]]]  # by task and method, in the order of seeds


class Row(NamedTuple):
    """A method on a task, over its seeds."""

    seeds: int
    base: float  # success of the base policy, 200 episodes a seed
    dip: float | None  # lowest point after updates begin minus base; None: no evaluation there
    worst_dip: float | None  # of a seed
    reached: int  # seeds that came to 0.9 ...
    steps_to_reach: float | None  # ... and the median of their environment steps
    success: Estimate  # at COMMON steps, 50 episodes a seed
    area: Estimate  # to COMMON steps
    long_area: Estimate | None  # to BUDGET steps, where all seeds have them
    final: Estimate  # at the end, 200 episodes a seed
    final_steps: int  # the end that was asked for; some may have been stopped, having held 0.95
    gradient_steps: float
    minutes: float  # of wall-clock, acting and learning


class Overall(NamedTuple):
    """A method over all tasks that every method has runs on."""

    area: Estimate
    success: Estimate
    better: Estimate | None  # probability that a run of PORL has the larger area; None: itself


def load(folder: Path = FOLDER, methods: Iterable[str] = METHODS) -> tuple[Runs, dict[Cell, State]]:
    """What can be reported: runs of the present settings, at least COMMON steps long. And what
    there is besides, by the reason why it is left out or to be doubted."""
    runs: dict[str, dict[str, list[dict]]] = {}
    notes: dict[Cell, State] = {}
    for cell in _cells(folder, methods):
        there = state(cell, COMMON, folder)
        if there is not State.DONE:
            notes[cell] = there
        if there in (State.DONE, State.OTHER_CODE):
            found = read(cell.path(folder))
            runs.setdefault(cell.task, {}).setdefault(cell.method, []).append(found)
    return runs, notes


def _cells(folder: Path, methods: Iterable[str]) -> Iterator[Cell]:
    """Files of known tasks and methods; and what has no file at all, as seed 0."""
    for task in TASKS:
        for method in methods:
            paths = (folder / task).glob(f"{method}-*.json")
            seeds = sorted(int(path.stem.removeprefix(f"{method}-")) for path in paths)
            yield from (Cell(task, method, seed) for seed in seeds or [0])


def row(runs: Sequence[dict]) -> Row:
    """The figures of one method on one task."""
    curves = [(run["curve"]["env_steps"], run["curve"]["success"]) for run in runs]
    dips = [run["dip"]["change"] for run in runs if run["dip"]]
    reached = [step for curve in curves if (step := first_at(*curve)) is not None]
    enough = all(run["steps"] >= BUDGET or run["stopped"] for run in runs)
    return Row(
        seeds=len(runs),
        base=float(np.mean([run["base"] for run in runs])),
        dip=float(np.mean(dips)) if dips else None,
        worst_dip=min(dips) if dips else None,
        reached=len(reached),
        steps_to_reach=float(np.median(reached)) if reached else None,
        success=mean([float(at(*curve, np.array([COMMON]))[0]) for curve in curves]),
        area=mean([area(*curve, COMMON) for curve in curves]),
        long_area=mean([area(*curve, BUDGET) for curve in curves]) if enough else None,
        final=mean([run["final"] for run in runs]),
        final_steps=min(run["steps"] for run in runs),
        gradient_steps=float(np.mean([run["gradient_steps"] for run in runs])),
        minutes=float(np.mean([run["learning_s"] for run in runs])) / 60.0,
    )


def overall(runs: Runs) -> tuple[list[str], dict[str, Overall]]:
    """The tasks that are compared, and each method over them."""
    methods = [name for name in METHODS if any(name in by_method for by_method in runs.values())]
    tasks = [task for task, by_method in runs.items() if all(m in by_method for m in methods)]
    if not tasks:
        return [], {}
    areas = {name: _scores(runs, tasks, name, _area) for name in methods}
    ends = {name: _scores(runs, tasks, name, _success) for name in methods}
    ours = areas.get("porl")
    return tasks, {
        name: Overall(
            interquartile_mean(areas[name]),
            interquartile_mean(ends[name]),
            None
            if ours is None or name == "porl"
            else probability_of_improvement(ours, areas[name]),
        )
        for name in methods
    }


def _scores(runs: Runs, tasks: list[str], method: str, score) -> np.ndarray:
    """(runs, tasks): as many seeds as every task has, the first ones."""
    count = min(len(runs[task][method]) for task in tasks)
    return np.array([[score(run) for run in runs[task][method][:count]] for task in tasks]).T


def _area(run: dict) -> float:
    return area(run["curve"]["env_steps"], run["curve"]["success"], COMMON)


def _success(run: dict) -> float:
    return float(at(run["curve"]["env_steps"], run["curve"]["success"], np.array([COMMON]))[0])
