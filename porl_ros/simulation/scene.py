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

    model: str = Field(
        description="MJCF: `package:path/inside/it.xml`, or a path relative to `sim/`"
    )
    site: str = Field(description="of the arm")
    prefix: str = Field("", description="before all its names")


class InsertTask(StrictModel):
    """A peg on the flange goes into a socket that stands somewhere else each episode."""

    kind: Literal["insert"]
    estimate_source: Name = Field(
        description="observation source that carries the socket's estimated pose"
    )
    socket_body: str = Field(description="mocap body of the world")
    socket_height: PositiveFloat = Field(description="of its top above the table [m]")
    socket_spread: NonNegativeFloat = Field(
        description="it stands within +- this of the tool's home in x and y [m]"
    )
    start_height: PositiveFloat = Field(
        description="the tool starts this far above the socket's top [m]"
    )
    start_spread: NonNegativeFloat = Field(description="within +- this on each axis [m]")

    @property
    def height(self) -> float:
        """Of what is estimated, above the table, m."""
        return self.socket_height


class LiftTask(StrictModel):
    """A cube lies somewhere, turned somehow; the gripper picks it up."""

    kind: Literal["lift"]
    estimate_source: Name = Field(
        description="observation source that carries the object's estimated pose"
    )
    object_body: str = Field(description="body of the world")
    object_height: PositiveFloat = Field(description="of its centre above the table [m]")
    object_spread: NonNegativeFloat = Field(
        description="it lies within +- this of the tool's home in x and y [m]"
    )
    start_height: PositiveFloat = Field(description="the tool starts this far above it [m]")
    start_spread: NonNegativeFloat = Field(description="within +- this on each axis [m]")

    @property
    def height(self) -> float:
        """Of what is estimated, above the table, m."""
        return self.object_height


class PickPlaceTask(LiftTask):
    """The cube is lifted, carried to a mark that is somewhere else each episode, and let go."""

    kind: Literal["pick_place"]
    goal_source: Name = Field(
        description="observation source that carries the mark's estimated pose"
    )
    goal_body: str = Field(description="mocap body of the world")
    goal_apart: NonNegativeFloat = Field(
        description="how far from the object the mark is, at least [m]"
    )


Task = Annotated[InsertTask | LiftTask | PickPlaceTask, Field(discriminator="kind")]


class SceneConfig(StrictModel):
    """A scene file. Its hash is not part of the contract: a policy may move to another cell."""

    world: str = Field(description="MJCF in `sim/`: what stands around the arm")
    timestep: PositiveFloat = Field(description="of the physics [s]")
    attachments: tuple[Attachment, ...] = Field((), description="what the arm carries")
    camera: str = Field(description="of the world, for videos")
    task: Task
    variants: dict[Name, Variant] = Field(min_length=1, description="the cells, by name")
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
