"""Arms of other kinds at the same task: a Franka, and a small one in joint space."""

import mujoco
import numpy as np
import pytest
from expert_episodes import run_expert
from gymnasium.utils.env_checker import check_env

from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_model
from porl_ros.robot.arm_model import arm_spec
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.robot import SimulatedRobot

ARMS = ["franka_insert", "so101_insert"]


@pytest.fixture(scope="module", params=ARMS)
def env(request) -> RobotEnv:
    return RobotEnv(request.param, "calibrated")


def test_the_expert_inserts_within_all_limits(env: RobotEnv):
    assert all(run_expert(env, seed)[1] for seed in range(4))


def test_the_same_seed_is_the_same_episode_after_others_and_elsewhere(env: RobotEnv):
    first, _ = run_expert(env, 3)
    other = env.reset(seed=4)[0]
    fresh, _ = run_expert(RobotEnv(env.robot.config, "calibrated"), 3)
    assert not np.array_equal(first[0], other)
    np.testing.assert_array_equal(first, fresh)


@pytest.mark.filterwarnings("ignore:.*Box observation space:UserWarning")  # unbounded on purpose
@pytest.mark.parametrize("name", ARMS)
def test_gymnasium_accepts_them(name: str):
    check_env(RobotEnv(name), skip_render_check=True)


def test_the_tool_points_down_wherever_it_is(env: RobotEnv):
    """Also with five joints: it is turned about the vertical only."""
    kinematics, box = env.robot.kinematics, env.robot.config.safety.workspace
    joints, rng = kinematics.home, np.random.default_rng(0)
    middle, half = np.add(box.lower, box.upper) / 2, np.subtract(box.upper, box.lower) / 2
    upright = kinematics.tool_rotation(kinematics.home).as_matrix()
    for place in middle + rng.uniform(-0.5, 0.5, (10, 3)) * half:
        for _ in range(10):
            joints = kinematics.solve(joints, place)
        np.testing.assert_allclose(kinematics.tool_position(joints), place, atol=1e-4)
        np.testing.assert_allclose(kinematics.tool_rotation(joints).as_matrix(), upright, atol=1e-3)


def test_the_franka_has_the_names_of_its_driver():
    config = load_robot("franka_insert")
    assert config.command_joints == tuple(f"fr3_joint{i}" for i in range(1, 8))
    model = SimulatedRobot(config).model
    assert {f"fr3_link{i}" for i in range(8)} <= {model.body(i).name for i in range(model.nbody)}
    bare = mujoco.MjModel.from_xml_path(str(resolve_model(config.kinematics.model)))
    named = arm_spec(config.kinematics).compile()
    assert (named.njnt, named.nu) == (bare.njnt, bare.nu)
    assert named.joint("fr3_joint4").range == pytest.approx(bare.joint("joint4").range)


def test_a_prefix_is_no_part_of_the_contract_but_joints_are():
    config = load_robot("franka_insert")
    content = config.model_dump()
    assert "prefix" not in config.contract["kinematics"]
    content["kinematics"]["prefix"] = "left_"
    assert RobotConfig.model_validate(content).contract_hash == config.contract_hash
    with pytest.raises(
        ConfigError, match="'fr3_joint1': model .* no such joint; it has left_joint1"
    ):
        ArmKinematics(RobotConfig.model_validate(content).kinematics)
