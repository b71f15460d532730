"""Stopping joints in discrete time. Steps are what a command adds to the one before, rad (or m).

A joint that has made the step x brakes with x - a, x - 2a, ... until less than a is left, and then
stands. `a` is its acceleration limit per step squared, so it stands after n = floor(|x| / a) more
steps. All functions take and return arrays, a number a joint.
"""

import numpy as np


def clip(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """As np.clip, in a third of its time on a few numbers."""
    return np.minimum(np.maximum(values, lower), upper)


def braked(step: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The step that comes after `step` when every joint brakes as hard as it may."""
    return step - clip(step, -a, a)


def room(distance: np.ndarray, a: np.ndarray) -> np.ndarray:
    """The largest step after which one can still stop within `distance`, that step included.

    0 where the distance is negative. The discrete form of v = sqrt(2 a d): a step x and braking
    take x (n + 1) - a n (n + 1) / 2, which is solved for x here.
    """
    ratio = np.maximum(distance, 0.0) / a
    n = np.floor((np.sqrt(1.0 + 8.0 * ratio) - 1.0) / 2.0)
    return a * (ratio / (n + 1.0) + n / 2.0)


def way(step: np.ndarray, a: np.ndarray, steps: float = np.inf) -> np.ndarray:
    """How far the joints still go after `step` while they brake, in at most so many `steps`."""
    size = np.abs(step)
    n = np.minimum(np.floor(size / a), steps)
    return np.sign(step) * (size * n - a * n * (n + 1.0) / 2.0)
