"""How far what the gate found agrees with what came of it on the twin."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest, bootstrap, pearsonr, rankdata

GATES = ("nominal", "calibrated")
REPETITIONS = 5000  # of the bootstrap
FEWEST = 10  # bundles; of fewer, some draws are of one bundle only


class Agreement(NamedTuple):
    """Of one gate, over all bundles. `correlation`: Spearman's, with a 95 % bootstrap interval over
    the bundles; `bias`, `error`: mean and root mean square of gate less twin success. Of those
    `admitted`, how many were `short` on the twin of what the rule asks for, the `lowest` success
    and the `hardest` contact there [N]; `missed`: those refused that were good enough there."""

    gate: str
    correlation: tuple[float, float, float]
    bias: float
    error: float
    admitted: int
    short: int
    lowest: float
    hardest: float
    missed: int


def rate(said: dict) -> float:
    """Share of successes."""
    return said["successes"] / said["episodes"]


def interval(said: dict) -> tuple[float, float]:
    """Of that share, 95 % (Wilson)."""
    found = binomtest(said["successes"], said["episodes"]).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def agreement(bundles: Sequence[dict], gate: str, asked: float) -> Agreement:
    """Of the rows of `Experiment.judge`; `asked` is the success that the rule asks for."""
    predicted = np.array([rate(row["gates"][gate]) for row in bundles])
    found = np.array([rate(row["there"]) for row in bundles])
    force = np.array([row["there"]["contact_force"] for row in bundles])
    let_in = np.array([row["gates"][gate]["alone"]["decision"] == "admitted" for row in bundles])
    off = predicted - found
    return Agreement(
        gate=gate,
        correlation=rank_correlation(predicted, found),
        bias=float(off.mean()),
        error=float(np.sqrt(np.mean(off**2))),
        admitted=int(let_in.sum()),
        short=int((let_in & (found < asked)).sum()),
        lowest=float(found.min(where=let_in, initial=1.0)),
        hardest=float(force.max(where=let_in, initial=0.0)),
        missed=int((~let_in & (found >= asked)).sum()),
    )


def rank_correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Spearman's correlation and a 95 % interval; bundles are drawn anew, as pairs. There is none
    (NaN) from a few of them."""

    def statistic(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return pearsonr(rankdata(x, axis=axis), rankdata(y, axis=axis), axis=axis).statistic

    if len(x) < FEWEST:
        return float(statistic(x, y)), float("nan"), float("nan")
    drawn = bootstrap(
        (x, y), statistic, paired=True, vectorized=True, n_resamples=REPETITIONS,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(statistic(x, y)), float(drawn.low), float(drawn.high)
