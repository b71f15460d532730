"""What a replay store tells about the motion of the arm: where it was sent, and where it went."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from porl_ros.errors import PorlError
from porl_ros.replay import Chunk
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import ObservationAssembler

SHORTEST = 4  # control steps; shorter episodes say too little to be replayed


class CalibrationError(PorlError):
    """The robot config or its recordings do not allow to estimate the cell."""


class Recorded(NamedTuple):
    """An episode of n steps. Positions are of the tool point, m, relative to where it began."""

    tool: np.ndarray  # (n + 1, 3), as it was measured
    sent: np.ndarray  # (n, 3), the targets that were sent
    fresh: np.ndarray  # (n + 1,) bool: false where a reading was lost and the last one stood in
    beside: np.ndarray  # (3,), from the estimated place of the task's object to the tool at begin
    success: bool

    @property
    def steps(self) -> int:
        return len(self.sent)


class _Reading:
    """Finds in an observation what calibration needs: features that say it without loss."""

    def __init__(self, config: RobotConfig, estimate: str):
        if config.action.kind != "cartesian_position_delta":
            raise CalibrationError(
                f"action.kind = '{config.action.kind}': what was sent can be told from an "
                "observation for 'cartesian_position_delta' only; measure such a cell by hand"
            )
        self._names = ObservationAssembler(config).names
        self._features = config.observation.features
        self._motion = self._find("tool.position", None, change=True)
        self._lag = self._find("target.position", "tool.position")
        self._beside = self._find("tool.position", f"{estimate}.position")

    def _find(self, signal: str, minus: str | None, change: bool = False) -> tuple[slice, float]:
        at = 0
        for feature in self._features:
            size = sum(name.startswith(f"{feature.name}.") for name in self._names)
            same = feature.signal, feature.minus, feature.change
            whole = feature.transform == "identity" and not feature.elements
            if same == (signal, minus, change) and whole and size == 3:
                return slice(at, at + 3), feature.scale
            at += size
        raise CalibrationError(
            "observation.features: calibration needs one with "
            f"{{signal: {signal}{', change: true' if change else f', minus: {minus}'}}}, whole and "
            "without a transform; this robot's recordings do not show how it moved"
        )

    def __call__(self, observations: np.ndarray, success: bool) -> Recorded:
        def of(found: tuple[slice, float]) -> np.ndarray:
            return observations[:, found[0]].astype(np.float64) / found[1]

        motion = of(self._motion)
        tool = np.cumsum(motion, axis=0)
        fresh = (motion != 0.0).any(axis=1)
        fresh[0] = True
        return Recorded(tool, (tool + of(self._lag))[1:], fresh, of(self._beside)[0], success)


def recorded(
    chunks: Iterable[Chunk], config: RobotConfig, estimate: str
) -> tuple[list[Recorded], dict[str, int]]:
    """The complete episodes of a robot, and how many were left out, by reason.

    `estimate` is the source that says where the task's object is. CalibrationError when the
    contract's observation does not show how the arm moved.
    """
    reading = _Reading(config, estimate)
    runs: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        runs.setdefault(chunk.run, []).append(chunk)
    found: list[Recorded] = []
    left_out: dict[str, int] = {}
    for parts in runs.values():
        for rows, final in _episodes(parts):
            reason = _unfit(rows, final, config)
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
            else:
                seen = np.concatenate([rows["observation"], final[None]])
                found.append(reading(seen, bool(rows["terminated"][-1] and rows["reward"][-1] > 0)))
    return found, left_out


def _episodes(parts: Sequence[Chunk]) -> Iterable[tuple[np.ndarray, np.ndarray | None]]:
    rows = np.concatenate([part.rows for part in parts])
    numbers = np.concatenate([part.first_row + np.arange(len(part.rows)) for part in parts])
    finals = {int(f["row"]): f["observation"] for part in parts for f in part.finals}
    cuts = np.flatnonzero(np.diff(rows["episode"])) + 1
    for index in np.split(np.arange(len(rows)), cuts):
        if len(index):
            yield rows[index], finals.get(int(numbers[index[-1]]))


def _unfit(rows: np.ndarray, final: np.ndarray | None, config: RobotConfig) -> str:
    if final is None:
        return "without an end"
    if rows["step"][0] != 0 or (np.diff(rows["step"]) != 1).any():
        return "with steps missing"
    if len(rows) < SHORTEST:
        return f"shorter than {SHORTEST} steps"
    if not (np.isfinite(rows["observation"]).all() and np.isfinite(final).all()):
        return "with numbers that are not finite"
    late = np.abs(np.diff(rows["stamp"]) - config.period_ns) > 0.2 * config.period_ns
    return "with steps that were late or early" if late.any() else ""
