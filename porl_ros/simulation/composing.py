"""The MuJoCo model of a scene: world, arm and what is mounted on it, composed and compiled."""

import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_model
from porl_ros.robot.arm_model import arm_spec, without_prefix_warning
from porl_ros.robot.config import Kinematics, RobotConfig
from porl_ros.simulation.scene import SceneConfig

PAYLOAD = "tool_payload"  # a body at the tool point; weighs nothing unless the cell says so


def build_model(config: RobotConfig, scene: SceneConfig) -> mujoco.MjModel:
    """Compose world, arm and attachments; ConfigError when they do not fit together."""
    try:
        world = mujoco.MjSpec.from_file(str(resolve_model(scene.world)))
        arm = arm_spec(config.kinematics)
        _mount(arm, scene)
        for body in arm.bodies:
            body.gravcomp = 1.0  # the controller of an industrial arm compensates its weight
        _add_payload(arm, config.kinematics)
        for key in list(arm.keys):
            arm.delete(key)  # a keyframe of the bare arm does not fit the composed model
        world.option.timestep = scene.timestep
        world.option.integrator = arm.option.integrator
        with without_prefix_warning():
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
        with without_prefix_warning():
            arm.attach(tool, prefix=attachment.prefix, site=site)


def _add_payload(arm: mujoco.MjSpec, kinematics: Kinematics) -> None:
    payload = mujoco.MjSpec()
    body = payload.worldbody.add_body(name="payload", pos=kinematics.tool_offset)
    body.explicitinertial, body.mass, body.inertia = True, 0.0, np.zeros(3)
    with without_prefix_warning():
        arm.attach(payload, prefix="tool_", site=arm.site(kinematics.tool_site))


def _check(model: mujoco.MjModel, config: RobotConfig) -> None:
    joints = {model.joint(i).name for i in range(model.njnt)}
    for joint in config.command_joints:
        if joint not in joints:
            raise ConfigError(
                f"joint '{joint}' of the robot config is not in the scene; "
                f"it has {', '.join(sorted(filter(None, joints)))}"
            )
