"""The error of the estimated place, and friction, from how the tool moves where it touches.

In each episode the place was estimated wrong by another amount, which is searched for together
with a friction (Nelder and Mead, SciPy). What an episode leaves open, such as where exactly a peg
is that plays in its hole, becomes an interval; the episodes are then pooled as draws of one normal
distribution of which only intervals are known. So an episode that says little counts little, and
those that say nothing about an axis do not shift it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm, quantile_test
from scipy.stats import t as student

from porl_ros.simulation.variant import Variant
from porl_ros.validation.calibration_replay import Replay, Script

MM = 1e3
SIMPLEX = np.array([2.0, 2.0, 1.5, 0.4])  # mm on each axis, and of the logarithm of friction
EVALUATIONS = 90
FITS = 0.1  # mm; above it the episode is not explained, and says nothing
NOTICED = 0.005  # mm; by so much worse, and a value is excluded
REACH = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # how far the ends of an interval are looked for
TELLING = 2.5  # an interval that is narrower tells something on its own
RESOLUTION = 0.1  # of one episode, in the units of an element
FEWEST_OF_MEDIAN = 6  # of fewer numbers, even all of them make no interval of 95 %
GRID = np.arange(0.01, 6.0, 0.01)  # where the ends of an interval are looked for
FRICTION = (0.05, 3.0)  # searched within


class Touch(NamedTuple):
    """What one episode allows: error on each axis, mm, and the logarithm of friction."""

    best: np.ndarray  # (4,)
    lower: np.ndarray  # (4,), -inf where open
    upper: np.ndarray  # (4,)


class Pooled(NamedTuple):
    """One parameter over the episodes."""

    value: float
    spread: float  # standard deviation between episodes
    interval: tuple[float, float]  # 95 %, of `value`


def fit_touch(
    replay: Replay,
    scripts: Sequence[Script],
    cell: Variant,
    progress: Callable[[], None] = lambda: None,
) -> list[Touch]:
    """One for each episode that touch explains; those that succeeded first, for they tell most."""
    found: list[Touch] = []
    # A whole number of physics steps: interpolating would take twice as long, for a millisecond.
    cell = cell.model_copy(update={"latency": replay.whole(cell.latency)})
    friction = np.log(cell.friction or 0.5)
    guess = np.append(np.array(cell.estimate_offset) * MM, friction)
    for script in sorted(scripts, key=lambda s: not s.recorded.success):
        begin = guess.copy()
        if script.recorded.success:  # the tool ended where the object is
            begin[:2] = -MM * (script.recorded.beside + script.recorded.tool[-1])[:2]
        if touch := _fit(replay, script, cell, begin):
            found.append(touch)
        telling = [t.best for t in found if (t.upper - t.lower)[:2].max() < TELLING]
        guess = np.median(telling, axis=0) if telling else guess
        progress()
    return found


def _fit(replay: Replay, script: Script, cell: Variant, begin: np.ndarray) -> Touch | None:
    def cost(x: np.ndarray) -> float:
        friction = float(np.clip(np.exp(x[3]), *FRICTION))
        error, friction_cell = x[:3] / MM, cell.model_copy(update={"friction": friction})
        path = replay.path(script, friction_cell, script.recorded.steps, error)
        off = (path - script.recorded.tool)[script.recorded.fresh] * MM
        return float(np.mean(np.sqrt(1.0 + np.sum(off**2, axis=1)) - 1.0))  # Charbonnier

    simplex = begin + np.vstack([np.zeros(4), np.diag(SIMPLEX)])
    options = {"initial_simplex": simplex, "maxfev": EVALUATIONS, "xatol": 0.02, "fatol": 1e-4}
    found = minimize(cost, begin, method="Nelder-Mead", options=options)
    if not found.fun < FITS:
        return None
    ends = [[_end(cost, found, axis, sign) for axis in range(4)] for sign in (-1.0, 1.0)]
    return Touch(found.x, *np.array(ends))


def _end(cost: Callable, found, axis: int, sign: float) -> float:
    """How far one element may go until it is noticed; infinite where it is not."""
    for reach in REACH:
        there = found.x.copy()
        there[axis] += sign * reach * SIMPLEX[axis] / SIMPLEX[0]
        if not cost(there) <= found.fun + NOTICED:
            return there[axis]
    return sign * np.inf


def pool(touches: Sequence[Touch], element: int) -> Pooled | None:
    """Normal distribution of which intervals are known, by maximum likelihood; None if too few."""
    lower = np.array([touch.lower[element] for touch in touches])
    upper = np.array([touch.upper[element] for touch in touches])
    narrow = upper - lower < TELLING
    if narrow.sum() < 3:
        return None

    def unlikely(value: float, log_spread: float) -> float:
        spread = np.hypot(np.exp(log_spread), RESOLUTION)
        inside = norm.cdf(upper, value, spread) - norm.cdf(lower, value, spread)
        return -float(np.log(np.maximum(inside, 1e-300)).sum())

    middle = (lower[narrow] + upper[narrow]) / 2
    begin = np.array([np.median(middle), np.log(middle.std() + RESOLUTION)])
    value, log_spread = minimize(lambda x: unlikely(*x), begin, method="Nelder-Mead").x
    # Ends where the likelihood has fallen as far as at those of Student's interval.
    fallen = unlikely(value, log_spread) + student.ppf(0.975, int(narrow.sum()) - 1) ** 2 / 2
    ends = [
        next((value + d for d in sign * GRID if unlikely(value + d, log_spread) > fallen), None)
        for sign in (-1.0, 1.0)
    ]
    if None in ends:
        return None
    return Pooled(float(value), float(np.exp(log_spread)), tuple(map(float, ends)))


def pool_median(touches: Sequence[Touch], element: int) -> Pooled | None:
    """The median of those that tell something, and its distribution-free interval; None if few.

    For what is the same in all episodes: an episode that was explained wrongly does not pull at it.
    """
    best = [
        touch.best[element]
        for touch in touches
        if (touch.upper - touch.lower)[element] < TELLING * (SIMPLEX / SIMPLEX[0])[element]
    ]
    if len(best) < FEWEST_OF_MEDIAN:
        return None
    middle = float(np.median(best))
    ends = quantile_test(best, q=middle, p=0.5).confidence_interval(0.95)
    return Pooled(middle, float(np.std(best)), (float(ends.low), float(ends.high)))
