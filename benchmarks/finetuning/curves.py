"""Arithmetic of success curves: when to evaluate, when to stop, areas and first crossings.

A curve is a list of environment steps, rising from 0, and of the successes there. Between two
evaluations it is a straight line; after its last one it stays where it is, which is used only for
runs that were stopped because they had held `HELD` for `HELD_FOR` steps.
"""

from collections.abc import Sequence

import numpy as np

COARSE, FINE, FINE_FOR = 1000, 250, 2000  # steps between evaluations; and in the first updates
HELD, HELD_FOR = 0.95, 5000  # a run that never was under HELD for so many steps is stopped
REACHED = 0.9


def evaluation_steps(total: int, updates_begin: int) -> list[int]:
    """Environment steps after which to evaluate: regularly, and closely once updates begin."""
    fine = range(updates_begin + FINE, updates_begin + FINE_FOR + 1, FINE)
    wanted = {0, total, updates_begin, *range(0, total, COARSE), *fine}
    return sorted(step for step in wanted if step <= total)


def has_held(steps: Sequence[int], success: Sequence[float]) -> bool:
    """Whether every evaluation of the last HELD_FOR steps, both ends included, was at HELD."""
    last_under = max(
        (s for s, value in zip(steps, success, strict=True) if value < HELD), default=-1
    )
    held = [step for step in steps if step > last_under]
    return bool(held) and held[-1] - held[0] >= HELD_FOR


def at(steps: Sequence[int], success: Sequence[float], grid: np.ndarray) -> np.ndarray:
    """The curve at the steps of `grid`, (len(grid),)."""
    return np.interp(grid, steps, success)


def area(steps: Sequence[int], success: Sequence[float], budget: int) -> float:
    """Mean success over the first `budget` steps, by trapezoids."""
    grid = np.union1d(np.minimum(steps, budget), [0, budget])
    return float(np.trapezoid(at(steps, success, grid), grid) / budget)


def first_at(steps: Sequence[int], success: Sequence[float], level: float = REACHED) -> int | None:
    """Step of the first evaluation at or above `level`; None if there is none."""
    return next((s for s, value in zip(steps, success, strict=True) if value >= level), None)


def lowest(steps: Sequence[int], success: Sequence[float], after: int) -> int | None:
    """Index of the first of the lowest evaluations after step `after`; None if there is none."""
    later = [index for index, step in enumerate(steps) if step > after]
    return min(later, key=lambda index: success[index], default=None)
