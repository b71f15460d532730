"""One cell of a scene: what is particular about it, and files that hold one."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, FiniteFloat, NonNegativeFloat, PositiveFloat

from porl_ros.configfile import StrictModel, load_model
from porl_ros.errors import ConfigError
from porl_ros.robot.config import Vector3

Share = Annotated[FiniteFloat, Field(ge=0.0, lt=1.0)]


class Variant(StrictModel):
    """What is particular about one cell; the defaults are the scene as its files describe it."""

    # Dynamics.
    friction: PositiveFloat | None = Field(
        None, description="sliding, of what the task is about; null: the files'"
    )
    damping: PositiveFloat = Field(
        1.0, description="times that of the commanded joints and their drives"
    )
    payload: NonNegativeFloat = Field(
        0.0, description="at the tool point, that the arm's controller knows not of [kg]"
    )
    latency: NonNegativeFloat = Field(0.0, description="from a command to its effect [s]")
    # What the sensors say.
    estimate_offset: Vector3 = Field(
        (0.0, 0.0, 0.0), description="constant error of what vision says: the calibration's [m]"
    )
    estimate_noise: NonNegativeFloat = Field(
        0.0, description="uniform +- this an axis, constant in an episode [m]"
    )
    joint_noise: NonNegativeFloat = Field(
        0.0, description="standard deviation of each reading [rad]"
    )
    dropped: Share = Field(
        0.0, description="probability that a source's new sample is lost: the last one stays"
    )
    # Where things are.
    spread: PositiveFloat = Field(1.0, description="times the task's spreads")


class Calibration(StrictModel):
    """Where an estimated cell comes from, and how far it can be believed."""

    robot: str
    contract_hash: str
    stores: tuple[str, ...]
    episodes: int
    start: str  # the cell from which the search began, and that keeps what the data cannot tell
    residual_before: NonNegativeFloat  # root mean square of the one-step error of the tool, m
    residual_after: NonNegativeFloat
    intervals: dict[str, tuple[FiniteFloat, FiniteFloat]]  # 95 %, of what was estimated
    untold: dict[str, str]  # what the data cannot tell, and why

    @property
    def fit(self) -> str:
        """How well the cell reproduces what was recorded, in a sentence for people."""
        return (
            f"{self.episodes} episodes; the replayed tool is off by "
            f"{self.residual_before * 1e3:.2f} mm in '{self.start}' and by "
            f"{self.residual_after * 1e3:.2f} mm in this cell (median over the episodes)"
        )


class CellFile(StrictModel):
    """A cell in a file of its own, for one scene: `porl calibrate` writes them, and people may."""

    scene: str = Field(description="file in `sim/` that it is a cell of")
    variant: Variant
    calibration: Calibration | None = None


def is_file(name: str) -> bool:
    """The name of a cell is a path: names of a scene's own cells have neither dot nor slash."""
    return "." in name or "/" in name


def read_cell(path: str | Path, scene: str) -> CellFile:
    """Read a cell; ConfigError when it is none, or one of another scene than `scene`."""
    cell = load_model(CellFile, Path(path))
    if cell.scene != scene:
        raise ConfigError(
            f"{path}: scene = '{cell.scene}': is a cell of another scene than '{scene}'; "
            f"calibrate one with a robot whose simulation.scene is '{scene}'"
        )
    return cell
