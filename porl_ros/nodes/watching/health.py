"""How a node is: what `/diagnostics` and `porl top` show. No ROS.

A status has a level, a sentence that says what to do if it is not good, and values.
"""

import math
import shutil
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SCARCE, FULL = 5.0, 0.5  # GB free on a disk: a warning, an error


class Level(IntEnum):
    """As in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


class Status(NamedTuple):
    """One line of the diagnostics: what it is about, how that is, the hint, and the numbers."""

    name: str
    level: Level
    text: str
    values: Mapping[str, object] = {}


class Rate:
    """How quickly a counter rises; whoever asks is one thread."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def __call__(self, count: float, now: float) -> float:
        """Per second since the last call; NaN at the first, or when the clock stood."""
        last, self._last = self._last, (count, now)
        if last is None or now <= last[1]:
            return math.nan
        return (count - last[0]) / (now - last[1])


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


def lifecycle(phase: str) -> Status:
    """Of any node."""
    match phase:
        case "active":
            return Status("lifecycle", Level.OK, "active")
        case "inactive":
            return Status("lifecycle", Level.WARN, "inactive; activate it")
    return Status("lifecycle", Level.STALE, f"{phase}; configure and activate it")


def disk(path: Path) -> Status:
    """Room where something is written."""
    while not path.exists():  # made later
        path = path.parent
    free = shutil.disk_usage(path).free / 1e9
    level = Level.ERROR if free < FULL else Level.WARN if free < SCARCE else Level.OK
    hint = "" if level is Level.OK else "; free the disk, or name another folder"
    return Status("disk", level, f"{free:.1f} GB free at {path}{hint}", {"disk_free_gb": free})
