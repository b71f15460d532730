"""The command line of the comparison.

python -m benchmarks finetuning                     # the whole table, hours; resumes
python -m benchmarks finetuning --tasks ur5e_insert --methods porl,rlpd --seeds 0,1 --steps 5000
python -m benchmarks finetuning --tasks mw_push --methods two_critics    # what a setting is worth
python -m benchmarks finetuning --status            # what there is
python -m benchmarks finetuning --report            # docs/finetuning_results.md and pictures
python -m benchmarks finetuning --slice             # a minute's worth, as `make bench` runs it
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.finetuning.bases import RUNS
from benchmarks.finetuning.methods import BUDGET, COMMON, FEWER_SEEDS, METHODS, SEEDS, VARIANTS
from benchmarks.finetuning.results import FOLDER, Cell, Judging, read, state
from benchmarks.finetuning.runner import METAWORLD_PYTHON, Interpreters, Runner, Wanted
from benchmarks.finetuning.tasks import TASKS
from porl_ros.errors import PorlError

SLICE = [Wanted(Cell("ur5e_insert", method, 0), 2500) for method in ("porl", "naive_sac")]
METHODS_HELP = f"likewise; or settings of PORL that are tried: {', '.join(VARIANTS)}"
SLICE_JUDGING = Judging(episodes=10, fresh=30)

console = Console()


def plan(
    tasks: list[str],
    methods: list[str],
    seeds: list[int] | None,
    steps: int | None,
    rival: str | None,
) -> list[Wanted]:
    """The runs of the table, breadth first: seed 0 of everything, then seed 1, ...

    PORL and `rival` get more seeds and steps than the others, unless both are given.
    """
    favoured = ("porl", rival)
    last = max(seeds or [SEEDS - 1])
    return [
        Wanted(Cell(task, method, seed), steps or (BUDGET if method in favoured else COMMON))
        for seed in range(last + 1)
        for method in methods
        for task in tasks
        if seed in (seeds or range(SEEDS if method in favoured else FEWER_SEEDS))
    ]


def run(
    tasks: Annotated[str, typer.Option(help="comma-separated; all if left out")] = ",".join(TASKS),
    methods: Annotated[str, typer.Option(help=METHODS_HELP)] = ",".join(METHODS),
    seeds: Annotated[str, typer.Option(help="such as 0,1,2; as the plan says if left out")] = "",
    steps: Annotated[int, typer.Option(help="environment steps of every run; 0: the plan's")] = 0,
    rival: Annotated[str, typer.Option(help="the rival that gets as much as PORL")] = "",
    jobs: Annotated[int, typer.Option(min=1, help="runs at a time, one core each")] = 1,
    metaworld_python: Annotated[
        Path, typer.Option(help="the Python that has Meta-World")
    ] = METAWORLD_PYTHON,
    status: Annotated[bool, typer.Option("--status", help="say what there is and end")] = False,
    report: Annotated[bool, typer.Option("--report", help="write the report and end")] = False,
    slice_: Annotated[bool, typer.Option("--slice", help="two short runs, kept apart")] = False,
) -> None:
    """Fill the table of fine-tuning methods, or say what is in it."""
    if report:
        from benchmarks.finetuning.report import Report  # needs benchmarks/requirements.txt

        return print(*Report.of().write(), sep="\n")
    if slice_:
        return _slice(jobs)
    chosen = _named(tasks, TASKS, "task"), _named(methods, METHODS | VARIANTS, "method")
    _named(rival, METHODS, "method")
    numbers = [int(seed) for seed in seeds.split(",")] if seeds else None
    wanted = plan(*chosen, numbers, steps or None, rival or None)
    if status:
        return _status(wanted)
    interpreters = Interpreters(metaworld=metaworld_python if metaworld_python.is_file() else None)
    return _fill(Runner(jobs, FOLDER, interpreters), wanted)


def _fill(runner: Runner, wanted: list[Wanted]) -> None:
    runner.run(wanted)
    if runner.failed:
        raise typer.Exit(1)


def _slice(jobs: int) -> None:
    """Always made anew: it is there to show that everything works, and how."""
    folder = RUNS / "slice"
    shutil.rmtree(folder, ignore_errors=True)
    _fill(Runner(jobs, folder, judging=SLICE_JUDGING), SLICE)
    table = Table("method", "base", "lowest", "final", "gradient steps", "learning [s]")
    table.title = f"{SLICE[0].cell.task}, {SLICE[0].steps:,} environment steps, one seed"
    for wanted in SLICE:
        result = read(wanted.cell.path(folder))
        lowest = f"{result['dip']['success']:.2f} at {result['dip']['env_step']:,}"
        row = f"{result['base']:.2f}", lowest, f"{result['final']:.2f}"
        costs = f"{result['gradient_steps']:,}", f"{result['learning_s']:.0f}"
        table.add_row(METHODS[wanted.cell.method].label, *row, *costs)
    console.print(table)


def _status(wanted: list[Wanted]) -> None:
    states = {one.cell: state(*one) for one in wanted}
    table = Table("task", "method", "seeds", title="runs of the plan")
    for task in dict.fromkeys(cell.task for cell in states):
        for method in METHODS | VARIANTS:
            seeds = [(c.seed, s) for c, s in states.items() if (c.task, c.method) == (task, method)]
            if seeds:
                table.add_row(task, method, ", ".join(f"{seed}: {there}" for seed, there in seeds))
    console.print(table)
    console.print(
        *(f"{count} {what}" for what, count in Counter(states.values()).items()), sep=", "
    )


def _named(text: str, known: dict, what: str) -> list[str]:
    names = text.split(",") if text else []
    for name in names:
        if name not in known:
            raise PorlError(f"no {what} '{name}': choose from {', '.join(known)}")
    return names


def main() -> None:
    """The entry of `python -m benchmarks finetuning`."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(run)
    try:
        app()
    except PorlError as error:
        raise SystemExit(f"error: {error}") from None
    except ModuleNotFoundError as missing:
        raise SystemExit(f"error: {missing}: pip install -r benchmarks/requirements.txt") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
