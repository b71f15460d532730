"""A section of the report: PORL with one setting other than its default, on the same seeds."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.finetuning.curves import area
from benchmarks.finetuning.methods import COMMON, VARIANTS
from benchmarks.finetuning.table import Runs

INTRODUCTION = f"""## What each setting is worth

PORL with one setting changed: area to {COMMON:,} steps, and in parentheses the difference to the
defaults on the same seeds; then the lowest success after updates begin in any of them, and theirs.
"""


def variants_section(runs: Runs, variants: Runs) -> Iterator[str]:
    """Markdown; nothing where no variant was run. `runs` has PORL's under "porl"."""
    tasks = [task for task in variants if "porl" in runs.get(task, {})]
    if not tasks:
        return
    yield INTRODUCTION
    yield _line("setting", *tasks)
    yield _line(*["---"] * (1 + len(tasks)))
    for name, variant in VARIANTS.items():
        if any(name in variants[task] for task in tasks):
            cells = [_cell(runs[task]["porl"], variants[task].get(name, [])) for task in tasks]
            yield _line(f"`{variant.label}`", *cells)
    yield ""


def _cell(ours: Sequence[dict], theirs: Sequence[dict]) -> str:
    by_seed = {run["seed"]: run for run in ours}
    pairs = [(by_seed[run["seed"]], run) for run in theirs if run["seed"] in by_seed]
    if not pairs:
        return ""
    default, changed = (np.mean([_area(run) for run in side]) for side in zip(*pairs, strict=True))
    lows = (min(map(_lowest, side)) for side in zip(*pairs, strict=True))
    low_default, low_changed = lows
    seeds = f"{len(pairs)} seed{'s' if len(pairs) > 1 else ''}"
    return (
        f"{changed:.2f} ({changed - default:+.2f}); {low_changed:.2f} ({low_default:.2f}), {seeds}"
    )


def _area(run: dict) -> float:
    return area(run["curve"]["env_steps"], run["curve"]["success"], COMMON)


def _lowest(run: dict) -> float:
    return run["dip"]["success"]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
