"""The arm's MJCF as the robot config describes it: its names are those of the robot's driver."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco

from porl_ros.paths import resolve_model
from porl_ros.robot.config import Kinematics


def arm_spec(config: Kinematics) -> mujoco.MjSpec:
    """A model of its own each time, to be compiled or mounted somewhere.

    Raises ConfigError when there is no such file, ValueError when MuJoCo cannot read it.
    """
    arm = mujoco.MjSpec.from_file(str(resolve_model(config.model)))
    if config.prefix:
        for key in list(arm.keys):
            arm.delete(key)  # would not fit any more
        arm = _renamed(arm, config.prefix)
    body = arm.body(config.tool_site)
    if body is not None and arm.site(config.tool_site) is None:
        body.add_site(name=config.tool_site)
    return arm


def _renamed(arm: mujoco.MjSpec, prefix: str) -> mujoco.MjSpec:
    renamed = mujoco.MjSpec()
    renamed.option.integrator = arm.option.integrator
    with without_prefix_warning():
        renamed.attach(arm, prefix=prefix, frame=renamed.worldbody.add_frame())
    return renamed


@contextmanager
def without_prefix_warning() -> Iterator[None]:
    """Names stay as they are when models are joined; MuJoCo warns that this saves badly."""
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        mujoco.set_mju_user_warning(previous)
