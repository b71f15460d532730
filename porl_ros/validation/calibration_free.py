"""Damping, latency and payload of a cell, from how the arm moves while it touches nothing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from porl_ros.simulation.variant import Variant
from porl_ros.validation.calibration_data import SHORTEST, CalibrationError
from porl_ros.validation.calibration_replay import Replay, Script

FEWEST = 3  # episodes, or the scatter between them says nothing
STEP = 0.02  # of finite differences, relative: the physics has steps of its own
MM = 1e3


class Parameter(NamedTuple):
    """One that is searched for: where, and how uncertain it may be to count as told."""

    name: str
    lower: float
    upper: float
    scale: float
    widest: float  # half-width of the interval above which the data cannot tell


PARAMETERS = (
    Parameter("damping", 0.1, 10.0, 1.0, 0.3),
    Parameter("latency", 0.0, 0.5, 0.1, 0.02),
    Parameter("payload", 0.0, 20.0, 1.0, 0.3),
)


class Estimates(NamedTuple):
    """What was found: values, 95 % intervals, and why others were not."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    untold: dict[str, str]


def fit_free(
    replay: Replay,
    scripts: Sequence[Script],
    steps: Sequence[int],
    start: Variant,
    progress: Callable[[], None] = lambda: None,
) -> Estimates:
    """Least squares over the first `steps` of each episode; `progress` at each evaluation.

    What the data cannot tell keeps its value in `start`, and the rest is estimated again without.
    CalibrationError when there are too few episodes.
    """
    used = [(s, n) for s, n in zip(scripts, steps, strict=True) if n >= SHORTEST]
    if len(used) < FEWEST:
        raise CalibrationError(
            f"{len(used)} of {len(scripts)} episodes begin with {SHORTEST} steps free of touch; "
            f"{FEWEST} are needed, record more"
        )
    free, untold = list(PARAMETERS), {}
    while free:
        values, widths = _solve(replay, used, start, free, progress)
        worst = max(free, key=lambda p: widths[p.name] / p.widest)
        if widths[worst.name] <= worst.widest:
            break
        free.remove(worst)
        untold[worst.name] = f"would be uncertain by {widths[worst.name]:.2g}: too little motion"
    told = {p.name: values[p.name] for p in free}
    bounds = {p.name: (p.lower, p.upper) for p in free}
    spans = {
        name: tuple(np.clip([value - widths[name], value + widths[name]], *bounds[name]).tolist())
        for name, value in told.items()
    }
    return Estimates(told, spans, untold)


def _solve(
    replay: Replay,
    used: list[tuple[Script, int]],
    start: Variant,
    free: list[Parameter],
    progress: Callable[[], None],
) -> tuple[dict[str, float], dict[str, float]]:
    def residuals(x: np.ndarray) -> np.ndarray:
        progress()
        cell = start.model_copy(update=_values(free, x))
        return np.concatenate([_residual(replay, script, n, cell) for script, n in used])

    scales = np.array([p.scale for p in free])
    bounds = np.array([[p.lower, p.upper] for p in free]).T / scales
    margin = 1e-3 * np.ptp(bounds, axis=0)
    first = np.array([getattr(start, p.name) for p in free]) / scales
    first = np.clip(first, bounds[0] + margin, bounds[1] - margin)
    found = least_squares(residuals, first, bounds=bounds, diff_step=STEP)
    owners = np.repeat(np.arange(len(used)), [3 * n for _, n in used])
    widths = _half_widths(found.jac, found.fun, owners) * scales
    names = [p.name for p in free]
    return _values(free, found.x), dict(zip(names, widths.tolist(), strict=True))


def _values(free: list[Parameter], x: np.ndarray) -> dict[str, float]:
    return {p.name: float(v * p.scale) for p, v in zip(free, x, strict=True)}


def _residual(replay: Replay, script: Script, steps: int, cell: Variant) -> np.ndarray:
    """Of the tool at each step, mm; 0 where its reading was lost."""
    error = (replay.path(script, cell, steps) - script.recorded.tool[: steps + 1])[1:]
    return np.where(script.recorded.fresh[1 : steps + 1, None], error, 0.0).ravel() * MM


def _half_widths(jacobian: np.ndarray, residual: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Of 95 % intervals. The errors within an episode belong together (a sandwich estimate)."""
    inverse = np.linalg.pinv(jacobian.T @ jacobian)
    count = owners[-1] + 1
    scores = np.zeros((count, jacobian.shape[1]))
    np.add.at(scores, owners, jacobian * residual[:, None])
    covariance = inverse @ (scores.T @ scores) @ inverse * count / (count - 1)
    blind = np.linalg.norm(jacobian, axis=0) < 1e-9  # nothing moved
    widths = student.ppf(0.975, count - 1) * np.sqrt(np.diag(covariance))
    return np.where(blind, np.inf, widths)
