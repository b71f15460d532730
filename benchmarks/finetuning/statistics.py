"""Intervals over seeds and tasks, by `rliable` (Agarwal et al. 2021, arXiv 2108.13264)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

REPETITIONS = 2000  # of the bootstrap
COVERAGE = 0.95


class Estimate(NamedTuple):
    """A value and its 95 % bootstrap interval; from one run there is no interval (NaN)."""

    value: float
    low: float
    high: float

    def apart_from(self, other: "Estimate") -> bool:
        """Whether the two intervals are known and do not overlap."""
        return self.low > other.high or self.high < other.low

    def __str__(self) -> str:
        known = f" [{self.low:.2f}, {self.high:.2f}]" if np.isfinite(self.low) else ""
        return f"{self.value:.2f}{known}"


def mean(runs: list[float]) -> Estimate:
    """Mean over the seeds of one task. With three seeds its interval is about their range."""
    from rliable import metrics

    return _estimate(np.array(runs)[:, None], metrics.aggregate_mean)


def interquartile_mean(scores: np.ndarray) -> Estimate:
    """Over all runs of all tasks, scores (runs, tasks); runs are drawn anew within each task."""
    from rliable import metrics

    return _estimate(scores, metrics.aggregate_iqm)


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    """How likely a run of ours is above a run of theirs on the same task; each (runs, tasks)."""
    from rliable import metrics

    return _estimate((ours, theirs), metrics.probability_of_improvement)


def _estimate(scores: np.ndarray | tuple[np.ndarray, np.ndarray], function: Callable) -> Estimate:
    from rliable import library

    several = scores if isinstance(scores, tuple) else (scores,)
    if min(len(part) for part in several) < 2:
        return Estimate(float(function(*several)), float("nan"), float("nan"))
    np.random.seed(0)  # noqa: NPY002  rliable draws from NumPy's global generator
    values, intervals = library.get_interval_estimates(
        {"": scores},
        lambda *drawn: np.array([function(*drawn)]),
        reps=REPETITIONS,
        confidence_interval_size=COVERAGE,
    )
    low, high = intervals[""][:, 0]
    return Estimate(float(values[""][0]), float(low), float(high))
