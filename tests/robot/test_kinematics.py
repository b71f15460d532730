"""Forward kinematics agree with MuJoCo, inverse kinematics with forward kinematics."""

import itertools

import mujoco
import numpy as np
import pytest

from porl_ros.paths import resolve_model
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics


@pytest.fixture(scope="module")
def kinematics(config: RobotConfig) -> ArmKinematics:
    return ArmKinematics(config.kinematics)


def flange(config: RobotConfig, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position and rotation of the tool site, straight from MuJoCo."""
    model = mujoco.MjModel.from_xml_path(str(resolve_model(config.kinematics.model)))
    data = mujoco.MjData(model)
    for joint, value in zip(config.kinematics.joints, joints, strict=True):
        data.joint(joint).qpos[0] = value
    mujoco.mj_kinematics(model, data)
    site = data.site(config.kinematics.tool_site)
    return site.xpos.copy(), site.xmat.reshape(3, 3).copy()


def test_tool_position_is_the_site_and_its_offset(config, kinematics):
    rng = np.random.default_rng(0)
    for joints in config.kinematics.home + rng.uniform(-0.5, 0.5, (5, 6)):
        position, rotation = flange(config, joints)
        expected = position + rotation @ config.kinematics.tool_offset
        assert np.allclose(kinematics.tool_position(joints), expected, atol=1e-12)


def test_solve_reaches_the_whole_workspace(config, kinematics):
    box, rng = config.safety.workspace, np.random.default_rng(0)
    axes = [np.linspace(low, high, 4) for low, high in zip(box.lower, box.upper, strict=True)]
    for corner in itertools.product(*axes):
        joints = kinematics.home
        for _ in range(5):  # from home it is far
            joints = kinematics.solve(joints, np.array(corner))
        target = np.clip(corner + rng.uniform(-0.012, 0.012, 3), box.lower, box.upper)
        reached = kinematics.solve(joints, target)
        assert np.abs(kinematics.tool_position(reached) - target).max() < 1e-5, corner


def test_solve_keeps_the_orientation_of_home(config, kinematics):
    target = kinematics.home_position + [0.02, -0.015, 0.01]
    reached = kinematics.solve(kinematics.home, target)
    assert np.allclose(flange(config, reached)[1], flange(config, kinematics.home)[1], atol=1e-5)


def test_solve_depends_on_its_arguments_alone(kinematics):
    target = kinematics.home_position + [0.01, 0.0, 0.0]
    first = kinematics.solve(kinematics.home, target)
    kinematics.solve(first + 0.3, target + 0.05)
    assert np.array_equal(kinematics.solve(kinematics.home, target), first)


def test_no_joint_moves_the_tool_by_more_than_its_reach(kinematics):
    rng, least = np.random.default_rng(0), np.zeros(6)
    for joints in rng.uniform(-np.pi, np.pi, (300, 6)):
        columns = [
            kinematics.tool_position(joints + 1e-6 * unit) - kinematics.tool_position(joints)
            for unit in np.eye(6)
        ]
        least = np.maximum(least, np.linalg.norm(columns, axis=1) / 1e-6)
    assert (least <= kinematics.reach + 1e-6).all()
    assert (kinematics.reach < 1.5).all()  # a bound that is of use
