"""What a replay store knows of the policies that acted in it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from porl_ros.cli.terminal import progress
from porl_ros.replay.disk.layout import read_schema
from porl_ros.replay.tools.blocks import read_run
from porl_ros.replay.tools.runs import overview, runs_of
from porl_ros.replay.tools.statistics import RunStatistics

NEWEST = 1000  # observations that are kept of each run


class Known(NamedTuple):
    """By version the outcomes of its finished episodes; the versions that acted last in a run; and
    observations (n, k), the newest."""

    outcomes: dict[int, list[bool]]
    acting: set[int]
    observations: np.ndarray

    def success(self, version: int) -> float | None:
        """Share of the version's episodes; None where it has finished none."""
        outcomes = self.outcomes.get(version)
        return sum(outcomes) / len(outcomes) if outcomes else None


def read_known(store: Path) -> Known:
    """Reads all of a store. Raises StoreFormatError, OSError."""
    schema = read_schema(store)
    runs = runs_of(store, schema)
    outcomes: dict[int, list[bool]] = {}
    acting: set[int] = set()
    observations = [np.zeros((0, len(schema.observation_names)), np.float32)]
    with progress() as bar:
        task = bar.add_task("reading", total=sum(overview(*run).rows for run in runs))
        for folder, identity in runs:
            statistics, last = RunStatistics(), None
            for chunk in read_run(folder, identity):
                statistics.add(chunk)
                last = chunk.rows if len(chunk.rows) else last
                bar.advance(task, len(chunk.rows))
            for episode in statistics.finished:
                outcomes.setdefault(episode.version, []).append(episode.success)
            if last is not None:
                acting.add(int(last["policy_version"][-1]))
                observations.append(last["observation"][-NEWEST:])
    return Known(outcomes, acting, np.concatenate(observations)[-NEWEST:])
