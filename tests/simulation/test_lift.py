"""The second task of the same machinery: a UR5e with a 2F-85 gripper that lifts a cube."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from expert_episodes import run_expert
from gymnasium.utils.env_checker import check_env

from porl_ros.errors import ConfigError
from porl_ros.paths import share_dir
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.scene import LiftTask
from porl_ros.simulation.tasks import make_task

GRIPPER = "gripper_right_driver_joint"


@pytest.fixture(scope="module")
def env() -> RobotEnv:
    return RobotEnv("ur5e_lift", "nominal")


@pytest.mark.parametrize("seed", range(10))
def test_expert_lifts_the_cube(env: RobotEnv, seed: int):
    """It rises by 0.10 m from wherever it lies."""
    observations, success = run_expert(env, seed)
    assert success
    height = env.controller.observation_names.index("cube_height.z")
    assert observations[-1, height] - observations[0, height] >= 0.10 * 10.0 - 1e-5


def test_same_seed_same_episode_bit_for_bit(env: RobotEnv):
    """Whatever episode went before, and in another instance too."""
    first, _ = run_expert(env, 3)
    other, _ = run_expert(env, 4)
    again, _ = run_expert(env, 3)
    fresh, _ = run_expert(RobotEnv("ur5e_lift", "nominal"), 3)
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, fresh)


@pytest.mark.filterwarnings("ignore:.*Box observation space:UserWarning")  # unbounded on purpose
def test_gymnasium_accepts_it():
    check_env(RobotEnv("ur5e_lift", "shifted"), skip_render_check=True)


def test_time_goes_on_and_the_cube_is_at_rest_after_reset(env: RobotEnv):
    stamps = [env.robot.reset(seed)["cube"].stamp for seed in (5, 5, 6)]
    assert np.all(np.diff(stamps) == env.robot.config.period_ns)
    assert np.abs(env.robot.data.joint("cube").qvel).max() < 1e-3
    assert env.robot.task.goal[2] == pytest.approx(0.02, abs=5e-4)


def test_cubes_lie_anywhere_turned_anyhow(env: RobotEnv):
    poses = [env.robot.reset(seed)["cube"].values for seed in range(60)]
    places = np.array([pose["position"] for pose in poses])
    yaws = [2 * np.arctan2(pose["orientation"][2], pose["orientation"][3]) for pose in poses]
    assert np.all(np.ptp(places[:, :2], axis=0) > 0.12)
    assert np.ptp(np.mod(yaws, np.pi / 2)) > 1.2


@pytest.mark.parametrize("opening", [0.0, 0.4, 0.8])
def test_the_gripper_goes_where_it_is_told(env: RobotEnv, opening: float):
    """In radians of its driver joint, though its actuator moves a tendon and takes 0 to 255."""
    samples = env.robot.reset(0)
    joints = np.append(samples["arm"].values["position"][:6], opening)
    for _ in range(10):
        samples = env.robot.step(joints)
    assert samples["arm"].values["position"][6] == pytest.approx(opening, abs=0.03)


def test_the_estimate_follows_the_cube_with_the_error_of_the_episode():
    env = RobotEnv("ur5e_lift", "shifted")
    expert = make_expert(env)
    env.reset(seed=1)
    errors, heights, terminated = [], [], False
    while not terminated:
        terminated = env.step(expert())[2]
        estimate = env.robot.samples()["cube"].values["position"]
        errors.append(estimate - env.robot.task.goal)
        heights.append(estimate[2])
    assert np.ptp(heights) > 0.09
    np.testing.assert_allclose(errors, [errors[0]] * len(errors), atol=1e-12)
    variant = env.robot.variant
    assert np.all(np.abs(errors[0] - variant.estimate_offset) <= variant.estimate_noise)


def test_friction_of_a_cell_is_the_cubes_and_not_the_pads(env: RobotEnv):
    shifted = SimulatedRobot(env.robot.config, "shifted").model
    assert shifted.geom("cube").friction[0] == 0.5
    pad = "gripper_right_pad1"
    assert shifted.geom(pad).friction[0] == env.robot.model.geom(pad).friction[0] == 0.7


def changed_config(tmp_path: Path, old: str, new: str) -> RobotConfig:
    text = (share_dir() / "robot_configs" / "ur5e_lift.yaml").read_text()
    assert old in text
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace(old, new))
    return RobotConfig.load(path)


def test_a_gripper_joint_that_the_scene_lacks_is_named(tmp_path: Path):
    config = changed_config(tmp_path, GRIPPER, "finger_joint")
    with pytest.raises(ConfigError, match=f"'finger_joint'.*{GRIPPER}"):
        SimulatedRobot(config)


def test_an_unknown_estimate_source_is_named(tmp_path: Path):
    config = changed_config(tmp_path, "- name: cube ", "- name: box ")
    with pytest.raises(ConfigError, match=r"task.estimate_source = 'cube'.*arm, box"):
        SimulatedRobot(config)


def test_a_robot_without_gripper_is_refused(tmp_path: Path):
    content = yaml.safe_load((share_dir() / "robot_configs" / "ur5e_lift.yaml").read_text())
    del content["action"]["gripper"], content["safety"]["joints"][GRIPPER]
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="action.gripper: lifting needs one"):
        SimulatedRobot(RobotConfig.load(path))


@pytest.mark.parametrize(
    ("body", "message"),
    [("ball", "no body 'ball'"), ("gripper_base", "'gripper_base': must have a free joint")],
)
def test_an_object_that_cannot_be_lifted_is_refused(env: RobotEnv, body: str, message: str):
    task: LiftTask = env.robot.scene.task.model_copy(update={"object_body": body})
    with pytest.raises(ConfigError, match=message):
        make_task(task, env.robot)
