"""Scenes: a YAML file in `sim/`, with its task, its cells and its suite."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PrivateAttr, model_validator

from porl_ros.configfile import StrictModel, load_model
from porl_ros.errors import ConfigError
from porl_ros.paths import share_dir
from porl_ros.robot.config import Name
from porl_ros.simulation.suite import Suite
from porl_ros.simulation.variant import Calibration, Variant, is_file, read_cell

__all__ = ["InsertTask", "LiftTask", "PickPlaceTask", "SceneConfig", "Task", "Variant"]


class Attachment(StrictModel):
    """A MJCF file mounted on a site of the arm; `prefix` sets its names apart from the arm's."""

    model: str
    site: str
    prefix: str = ""


class InsertTask(StrictModel):
    """A peg on the flange goes into a socket that stands somewhere else each episode."""

    kind: Literal["insert"]
    estimate_source: Name
    socket_body: str
    socket_height: PositiveFloat
    socket_spread: NonNegativeFloat
    start_height: PositiveFloat
    start_spread: NonNegativeFloat

    @property
    def height(self) -> float:
        """Of what is estimated, above the table, m."""
        return self.socket_height


class LiftTask(StrictModel):
    """A cube lies somewhere, turned somehow; the gripper picks it up."""

    kind: Literal["lift"]
    estimate_source: Name
    object_body: str
    object_height: PositiveFloat
    object_spread: NonNegativeFloat
    start_height: PositiveFloat
    start_spread: NonNegativeFloat

    @property
    def height(self) -> float:
        """Of what is estimated, above the table, m."""
        return self.object_height


class PickPlaceTask(LiftTask):
    """The cube is lifted, carried to a mark that is somewhere else each episode, and let go."""

    kind: Literal["pick_place"]
    goal_source: Name
    goal_body: str
    goal_apart: NonNegativeFloat


Task = Annotated[InsertTask | LiftTask | PickPlaceTask, Field(discriminator="kind")]


class SceneConfig(StrictModel):
    """A scene file. Its hash is not part of the contract: a policy may move to another cell."""

    world: str
    timestep: PositiveFloat
    attachments: tuple[Attachment, ...] = ()
    camera: str
    task: Task
    variants: dict[Name, Variant] = Field(min_length=1)
    suite: Suite | None = None
    _name: str = PrivateAttr("")  # of the file

    @model_validator(mode="after")
    def _suite_fits(self) -> Self:
        if self.suite and self.suite.friction:
            without = [name for name, cell in self.variants.items() if cell.friction is None]
            if without:
                raise ValueError(
                    f"suite.friction = {list(self.suite.friction)}: a factor, and "
                    f"variants.{without[0]} has no friction; give it one"
                )
        return self

    @classmethod
    def load(cls, name: str) -> Self:
        """Read `sim/<name>`; ConfigError says what is wrong."""
        path = share_dir() / "sim" / name
        if not path.is_file():
            names = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml")))
            raise ConfigError(f"simulation.scene = '{name}': no such scene; have {names}")
        scene = load_model(cls, path)
        scene._name = name
        return scene

    def variant(self, name: str) -> Variant:
        """A cell by name, or the one in a file; ConfigError lists the cells there are."""
        if is_file(name):
            return read_cell(name, self._name).variant
        if name not in self.variants:
            have = ", ".join(self.variants)
            raise ConfigError(
                f"simulation.variant = '{name}': the scene has no such cell; have {have}, "
                "or give the path of a cell's file"
            )
        return self.variants[name]

    def calibration(self, name: str) -> Calibration | None:
        """Where an estimated cell comes from; None for cells that a person wrote. ConfigError."""
        return read_cell(name, self._name).calibration if is_file(name) else None
