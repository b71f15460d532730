"""What a rehearsal is held against, and the story that its audit log tells."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.table import Table

from porl_ros.replay import read_store
from porl_ros.replay.tools.episodes import own_episodes
from porl_ros.validation import audit


class Check(NamedTuple):
    """The lowest success on the twin over `window` episodes that follow each other; it may fall
    below the base's by a share of `bound` of that, at most."""

    base: float
    bound: float
    window: int
    lowest: float
    episodes: int

    @property
    def holds(self) -> bool:
        return self.lowest >= self.limit

    @property
    def limit(self) -> float:
        return (1.0 - self.bound) * self.base

    @property
    def text(self) -> str:
        """For people."""
        return (
            f"base on the twin {self.base:.2f}; lowest success in any {self.window} of "
            f"{self.episodes} episodes in a row {self.lowest:.2f}; bound {self.limit:.2f}: "
            f"{'holds' if self.holds else 'DOES NOT HOLD'}"
        )


def check(stores: list[Path], horizon: int, base: float, bound: float, window: int) -> Check:
    """Of all episodes on the twin, in the order in which they were recorded. Those that were cut
    short say nothing of a policy and are left out."""
    outcomes = [success for store in stores for success in own_outcomes(store, horizon)]
    width = min(window, len(outcomes))
    means = np.convolve(outcomes, np.ones(width) / max(1, width), "valid") if width else [0.0]
    return Check(base, bound, window, float(min(means)), len(outcomes))


def own_outcomes(store: Path, horizon: int) -> list[bool]:
    """Of the episodes of a store, in their order."""
    return [episode.success for episode in own_episodes(read_store(store), horizon)]


def story() -> Table:
    """The audit log from the beginning of the rehearsal."""
    table = Table("time", "event", "version", "what, and why", title="The audit log")
    for entry in audit.read():
        version = entry.get("version", "")
        table.add_row(entry["at"][11:19], entry["event"], str(version), _told(entry))
    return table


def _told(entry: dict) -> str:
    parts = [entry.get("why", "")]
    if "place" in entry:
        parts.append(f"{Path(entry['place']).name} -> {Path(entry['bundle']).name}")
    elif "acting_version" in entry:
        parts.append(f"version {entry['acting_version']} acts")
    elif "bundle" in entry:
        parts.append(Path(entry["bundle"]).name)
    return "; ".join(part for part in parts if part)
