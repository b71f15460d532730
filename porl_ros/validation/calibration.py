"""The cell that explains what a robot recorded: its free parameters, and how sure they are."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import InsertTask
from porl_ros.simulation.variant import Calibration, CellFile, Variant
from porl_ros.validation.calibration_data import Recorded
from porl_ros.validation.calibration_free import Estimates, fit_free
from porl_ros.validation.calibration_replay import Replay, Script
from porl_ros.validation.calibration_touch import MM, fit_touch, pool, pool_median

CLEAR = {"insert": 0.015, "lift": 0.06, "pick_place": 0.06}  # over the object nothing is touched, m
MOST = 40  # episodes; more take longer and tell little more
SURE_FRICTION = 1.0  # width of an interval of the logarithm above which nothing is told
SURE_OFFSET = 5.0  # mm, likewise


class Fitted(NamedTuple):
    """A cell with what was found of it, and the error of the tool by step, m."""

    variant: Variant
    intervals: dict[str, tuple[float, float]]
    untold: dict[str, str]
    before: np.ndarray  # (episodes,) root mean square with the cell from which the search began
    after: np.ndarray  # (episodes,)
    by_step: np.ndarray  # (2, steps), median over the episodes: before, after


def calibrate(
    config: RobotConfig,
    episodes: Sequence[Recorded],
    start: Variant,
    progress: Callable[[str, int], None] = lambda stage, total: None,
) -> Fitted:
    """Estimate what the episodes can tell; the rest stays as in `start`.

    `progress(stage, total)` is called once for each evaluation, of which about `total` come; 0: not
    known. CalibrationError when the episodes are too few.
    """
    replay = Replay(config, touch=False)
    scripts = [replay.script(episode) for episode in spread_out(episodes, MOST)]
    clear = CLEAR[replay.task.kind]
    steps = [_steps_clear(script.recorded, clear) for script in scripts]
    found = fit_free(replay, scripts, steps, start, lambda: progress("free motion", 0))
    cell = start.model_copy(update=found.values)
    if isinstance(replay.task, InsertTask):
        replay = Replay(config, touch=True)
        touched = _touched(replay, scripts, cell, lambda: progress("touch", len(scripts)))
        steps = [script.recorded.steps for script in scripts]
    else:
        touched = _not_told("how the object is turned is not observed, so touch is not replayed")
    cell = cell.model_copy(update=touched.values)
    before = [_error(replay, s, n, start) for s, n in zip(scripts, steps, strict=True)]
    after = [_error(replay, s, n, cell) for s, n in zip(scripts, steps, strict=True)]
    return Fitted(
        Variant.model_validate(cell.model_dump()),
        found.intervals | touched.intervals,
        found.untold | touched.untold,
        _root_mean_square(before),
        _root_mean_square(after),
        np.array([_median_by_step(before), _median_by_step(after)]),
    )


def spread_out(episodes: Sequence[Recorded], most: int) -> list[Recorded]:
    """At most so many, evenly over the time of the recordings."""
    index = np.unique(np.linspace(0, len(episodes) - 1, min(most, len(episodes))).astype(int))
    return [episodes[i] for i in index]


def save_cell(variant: Variant, calibration: Calibration, scene: str, path: Path) -> CellFile:
    """Write what `SimulatedRobot` takes as a variant; what is there is not overwritten."""
    cell = CellFile(scene=scene, variant=variant, calibration=calibration)
    text = yaml.safe_dump(cell.model_dump(mode="json"), sort_keys=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write("# A cell estimated by `porl calibrate`; docs/calibration.md explains it.\n")
        file.write(text)
    return cell


def _steps_clear(episode: Recorded, clear: float) -> int:
    """How many steps the tool and its target stay so far above the object."""
    heights = episode.beside[2] + np.minimum(episode.tool[1:, 2], episode.sent[:, 2])
    low = np.flatnonzero(heights < clear)
    return int(low[0]) if len(low) else episode.steps


def _touched(
    replay: Replay, scripts: list[Script], cell: Variant, progress: Callable[[], None]
) -> Estimates:
    touches = fit_touch(replay, scripts, cell, progress)
    axes = [pool(touches, axis) for axis in range(3)]
    values, intervals, untold = {}, {}, {}
    offset = list(cell.estimate_offset)
    for axis, (name, pooled) in enumerate(zip("xyz", axes, strict=True)):
        if pooled is None or np.ptp(pooled.interval) > SURE_OFFSET:
            untold[f"estimate_offset.{name}"] = "too few episodes touch the object on this axis"
        else:
            offset[axis] = pooled.value / MM
            intervals[f"estimate_offset.{name}"] = tuple(end / MM for end in pooled.interval)
    values["estimate_offset"] = tuple(offset)
    told = [pooled for pooled in axes if pooled]
    if told:  # uniform noise of half-width w has a standard deviation of w / sqrt(3)
        spread = np.sqrt(3.0 * np.mean([pooled.spread**2 for pooled in told])) / MM
        values["estimate_noise"] = float(spread)
    else:
        untold["estimate_noise"] = "too few episodes touch the object"
    friction = pool_median(touches, 3)
    if friction is None or np.ptp(friction.interval) > SURE_FRICTION:
        untold["friction"] = "too few episodes slide along the object"
    else:
        values["friction"] = float(np.exp(friction.value))
        intervals["friction"] = tuple(np.exp(friction.interval).tolist())
    return Estimates(values, intervals, untold)


def _not_told(why: str) -> Estimates:
    names = [*(f"estimate_offset.{axis}" for axis in "xyz"), "estimate_noise", "friction"]
    return Estimates({}, {}, dict.fromkeys(names, why))


def _error(replay: Replay, script: Script, steps: int, cell: Variant) -> np.ndarray:
    """Distance (steps,) between the replayed and the recorded tool, m; NaN for a lost reading."""
    path = replay.path(script, cell, steps, np.array(cell.estimate_offset))
    off = np.linalg.norm(path - script.recorded.tool[: steps + 1], axis=1)
    return np.where(script.recorded.fresh[: steps + 1], off, np.nan)[1:]


def _root_mean_square(errors: list[np.ndarray]) -> np.ndarray:
    return np.array([np.sqrt(np.nanmean(e**2)) if len(e) else np.nan for e in errors])


def _median_by_step(errors: list[np.ndarray]) -> np.ndarray:
    longest = max(map(len, errors))
    padded = [np.pad(e, (0, longest - len(e)), constant_values=np.nan) for e in errors]
    return np.nanmedian(padded, axis=0)
