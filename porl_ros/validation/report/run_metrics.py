"""The numbers that a learner wrote for TensorBoard."""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A number over time; arrays of one length."""

    env_steps: np.ndarray
    gradient_steps: np.ndarray
    values: np.ndarray


def read_metrics(folder: Path) -> dict[str, Metric]:
    """By name; empty where there is no log. A process that was killed leaves a log with a torn
    end, which is left out."""
    if not folder.is_dir():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    log.Reload()
    found = {name: log.Scalars(name) for name in log.Tags()["scalars"]}
    if "gradient_steps" not in found:
        return {}
    clock = np.array([one.wall_time for one in found["gradient_steps"]])
    updates = np.array([one.value for one in found["gradient_steps"]])
    return {name: _metric(events, clock, updates) for name, events in found.items()}


def _metric(events: list, clock: np.ndarray, updates: np.ndarray) -> Metric:
    """Updates come first in what is written at a time, and a number that is not known is not
    written at all."""
    times = np.array([one.wall_time for one in events])
    at = np.clip(np.searchsorted(clock, times, side="right") - 1, 0, None)
    steps = np.array([one.step for one in events])
    return Metric(steps, updates[at], np.array([one.value for one in events]))
