"""Scenes: a YAML file in `sim/` and the MuJoCo model that is composed from it."""

import warnings
from contextlib import contextmanager
from typing import Annotated, Literal

import mujoco
from pydantic import Field, NonNegativeFloat, PositiveFloat

from porl_ros.configfile import StrictModel, load_model
from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_model, share_dir
from porl_ros.robot.config import Name, RobotConfig, Vector3


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


class LiftTask(StrictModel):
    """A cube lies somewhere, turned somehow; the gripper picks it up."""

    kind: Literal["lift"]
    estimate_source: Name
    object_body: str
    object_height: PositiveFloat
    object_spread: NonNegativeFloat
    start_height: PositiveFloat
    start_spread: NonNegativeFloat


class PickPlaceTask(LiftTask):
    """The cube is lifted, carried to a mark that is somewhere else each episode, and let go."""

    kind: Literal["pick_place"]
    goal_source: Name
    goal_body: str
    goal_apart: NonNegativeFloat


Task = Annotated[InsertTask | LiftTask | PickPlaceTask, Field(discriminator="kind")]


class Variant(StrictModel):
    """What is particular about one cell: its calibration, friction, latency and noise."""

    friction: PositiveFloat | None = None
    estimate_offset: Vector3 = (0.0, 0.0, 0.0)
    estimate_noise: NonNegativeFloat = 0.0
    joint_noise: NonNegativeFloat = 0.0
    latency: NonNegativeFloat = 0.0


class SceneConfig(StrictModel):
    """A scene file. Its hash is not part of the contract: a policy may move to another cell."""

    world: str
    timestep: PositiveFloat
    attachments: tuple[Attachment, ...] = ()
    camera: str
    task: Task
    variants: dict[Name, Variant] = Field(min_length=1)

    @classmethod
    def load(cls, name: str) -> "SceneConfig":
        """Read `sim/<name>`; ConfigError says what is wrong."""
        path = share_dir() / "sim" / name
        if not path.is_file():
            names = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml")))
            raise ConfigError(f"simulation.scene = '{name}': no such scene; have {names}")
        return load_model(cls, path)

    def variant(self, name: str) -> Variant:
        """A cell by name; ConfigError lists the cells there are."""
        if name not in self.variants:
            have = ", ".join(self.variants)
            raise ConfigError(
                f"simulation.variant = '{name}': the scene has no such cell; have {have}"
            )
        return self.variants[name]


def build_model(config: RobotConfig, scene: SceneConfig) -> mujoco.MjModel:
    """Compose world, arm and attachments; ConfigError when they do not fit together."""
    try:
        world = mujoco.MjSpec.from_file(str(resolve_model(scene.world)))
        arm = mujoco.MjSpec.from_file(str(resolve_model(config.kinematics.model)))
        _mount(arm, scene)
        for body in arm.bodies:
            body.gravcomp = 1.0  # the controller of an industrial arm compensates its weight
        for key in list(arm.keys):
            arm.delete(key)  # a keyframe of the bare arm does not fit the composed model
        world.option.timestep = scene.timestep
        world.option.integrator = arm.option.integrator
        with _without_prefix_warning():
            world.attach(arm, prefix="", frame=world.worldbody.add_frame())
            model = world.compile()
    except ValueError as error:
        raise ConfigError(f"scene '{scene.world}': MuJoCo cannot compose it: {error}") from None
    _check(model, config)
    return model


def _mount(arm: mujoco.MjSpec, scene: SceneConfig) -> None:
    for attachment in scene.attachments:
        site = arm.site(attachment.site)
        if site is None:
            raise ConfigError(f"attachments: the arm has no site '{attachment.site}'")
        tool = mujoco.MjSpec.from_file(str(resolve_model(attachment.model)))
        with _without_prefix_warning():
            arm.attach(tool, prefix=attachment.prefix, site=site)


@contextmanager
def _without_prefix_warning():
    """Joints keep their names, as on the robot; MuJoCo warns that such a spec saves badly."""
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        mujoco.set_mju_user_warning(previous)


def _check(model: mujoco.MjModel, config: RobotConfig) -> None:
    joints = {model.joint(i).name for i in range(model.njnt)}
    for joint in config.command_joints:
        if joint not in joints:
            raise ConfigError(
                f"joint '{joint}' of the robot config is not in the scene; "
                f"it has {', '.join(sorted(filter(None, joints)))}"
            )
