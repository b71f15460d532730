"""What `porl calibrate` does, apart from showing it."""

from pathlib import Path

import numpy as np
from rich.progress import Progress

from porl_ros.cli.terminal import progress
from porl_ros.errors import PorlError
from porl_ros.replay import read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.variant import Calibration, CellFile, Variant
from porl_ros.validation.calibration import Fitted, calibrate, save_cell
from porl_ros.validation.calibration_data import CalibrationError, Recorded, recorded


def estimate(
    stores: list[Path], output: Path, robot: str, variant: str | None
) -> tuple[CellFile, Fitted, Variant]:
    """The cell that was written to `output`, how it was found, and where the search began."""
    if output.exists():
        raise PorlError(f"{output}: is there already and nothing is overwritten; name another file")
    config = load_robot(robot)
    scene, name = SceneConfig.load(config.simulation.scene), variant or config.simulation.variant
    start = scene.variant(name)
    episodes = _episodes(stores, config, scene.task.estimate_source)
    with progress() as bar:
        fitted = calibrate(config, episodes, start, _Bars(bar))
    calibration = Calibration(
        robot=config.name,
        contract_hash=config.contract_hash,
        stores=tuple(map(str, stores)),
        episodes=len(fitted.after),
        start=name,
        residual_before=float(np.nanmedian(fitted.before)),
        residual_after=float(np.nanmedian(fitted.after)),
        intervals=fitted.intervals,
        untold=fitted.untold,
    )
    return (
        save_cell(fitted.variant, calibration, config.simulation.scene, output),
        fitted,
        start,
    )


def _episodes(stores: list[Path], config: RobotConfig, estimate_source: str) -> list[Recorded]:
    contract = config.contract_hash, config.contract
    chunks = [chunk for store in dict.fromkeys(stores) for chunk in read_store(store, *contract)]
    episodes, left_out = recorded(chunks, config, estimate_source)
    if not episodes:
        said = ", ".join(f"{count} {why}" for why, count in left_out.items()) or "no rows at all"
        raise CalibrationError(
            f"{', '.join(map(str, stores))}: no episode that can be replayed ({said}); record "
            "episodes from their begin to their end"
        )
    return episodes


class _Bars:
    """A bar a stage."""

    def __init__(self, bar: Progress):
        self._bar, self._tasks = bar, {}

    def __call__(self, stage: str, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total or None)
        self._bar.advance(self._tasks[stage])
