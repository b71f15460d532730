"""The simulated insertion cell: repeatable, honest about what a robot can know, and solvable."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cell_digest import digest
from gymnasium.utils.env_checker import check_env

from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot


@pytest.fixture(scope="module")
def env(config: RobotConfig) -> RobotEnv:
    """The shifted cell, with noise and latency."""
    return RobotEnv(config)


@pytest.fixture(scope="module")
def robot(config: RobotConfig) -> SimulatedRobot:
    return SimulatedRobot(config)


def flat(samples) -> np.ndarray:
    return np.concatenate([value for s in samples.values() for value in s.values.values()])


def test_the_same_seed_is_the_same_episode_after_others(env):
    first = digest(env, seed=7)
    assert digest(env, seed=8) != first
    env.reset(seed=9)  # and one that was left in the middle
    env.step(np.ones(3, np.float32))
    assert digest(env, seed=7) == first


def test_the_same_seed_is_the_same_episode_in_a_fresh_process(env):
    script = Path(__file__).with_name("cell_digest.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env=environment
    )
    assert child.stdout.strip() == digest(env, seed=7)


def test_the_cells_differ(config, env):
    assert digest(RobotEnv(config, "calibrated"), seed=7) != digest(env, seed=7)


@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*infinity")
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_wrong(config):
    check_env(RobotEnv(config), skip_render_check=True)


def test_episodes_without_a_seed_differ_and_follow_from_the_first_seed(env):
    def starts():
        env.reset(seed=3)
        return [env.reset()[0] for _ in range(2)]

    first, second = starts()
    assert not np.array_equal(first, second)
    assert np.array_equal(starts(), [first, second])


def test_the_expert_succeeds_in_the_calibrated_cell(config):
    env = RobotEnv(config, "calibrated")
    expert, successes = make_expert(env), 0
    for seed in range(20):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, reward, terminated, truncated, info = env.step(expert())
            assert reward == float(terminated) == float(info["success"])
            ended = terminated or truncated
        successes += terminated
    assert successes >= 19


def test_time_never_goes_back(robot):
    stamps = [sample.stamp for sample in robot.reset(0).values()]
    for seed in range(3):
        for samples in (robot.step(robot.data.ctrl.copy()), robot.reset(seed)):
            now = {sample.stamp for sample in samples.values()}
            assert len(now) == 1  # all sources speak of the same instant
            assert min(now) - max(stamps) == robot.config.period_ns
            stamps = list(now)


def test_the_samples_hold_joints_and_the_estimate_and_nothing_else(robot):
    samples = robot.reset(0)
    assert set(samples) == {"arm", "socket"}
    assert set(samples["arm"].values) == {"position", "velocity"}
    assert set(samples["socket"].values) == {"position", "orientation"}
    error = samples["socket"].values["position"] - robot.task.goal
    shifted = np.array(robot.variant.estimate_offset)
    assert np.abs(error - shifted).max() <= robot.variant.estimate_noise
    assert np.linalg.norm(error) > 0.002  # what is said is not what is


def test_what_is_given_out_is_a_copy(robot):
    samples = robot.reset(0)
    before = flat(samples)
    for sample in samples.values():
        for value in sample.values.values():
            value += 1.0
    robot.reset(0)
    assert np.array_equal(flat(robot.reset(0)), before)


def test_joint_noise_is_small_and_of_the_cell(robot):
    robot.reset(0)
    read = [robot.samples()["arm"].values["position"] for _ in range(50)]
    assert 0.3 < np.std(read, axis=0).mean() / robot.variant.joint_noise < 3.0


def test_a_new_command_takes_effect_after_the_latency(robot):
    late = round(robot.variant.latency / robot.scene.timestep)
    robot.reset(0)
    held = robot.data.ctrl.copy()
    robot.advance(held, 1)
    still, moved = (run(robot, held, held, late), run(robot, held, held + 0.05, late))
    assert np.array_equal(still, moved)
    still, moved = (run(robot, held, held, late + 1), run(robot, held, held + 0.05, late + 1))
    assert not np.array_equal(still, moved)


def run(robot: SimulatedRobot, held: np.ndarray, command: np.ndarray, substeps: int) -> np.ndarray:
    """Velocities so many physics steps after `command` replaced `held`."""
    robot.reset(0)
    robot.advance(held, 1)
    robot.advance(command, substeps)
    return robot.data.qvel.copy()


@pytest.mark.parametrize("shape", [(5,), (7,), (0,), (1, 6), ()])
def test_a_command_of_the_wrong_shape_is_refused_and_changes_nothing(robot, shape):
    robot.reset(0)
    time, ctrl = robot.time_ns, robot.data.ctrl.copy()
    with pytest.raises(ValueError, match="must be"):
        robot.step(np.zeros(shape))
    assert robot.time_ns == time
    assert np.array_equal(robot.data.ctrl, ctrl)
