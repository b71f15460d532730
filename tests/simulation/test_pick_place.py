"""The third task: the cube is carried to a mark that is elsewhere in each episode, and let go."""

from pathlib import Path

import numpy as np
import pytest
from expert_episodes import run_expert

from porl_ros.errors import ConfigError
from porl_ros.paths import share_dir
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.tasks import make_task


@pytest.fixture(scope="module")
def env() -> RobotEnv:
    return RobotEnv("ur5e_pick_place", "nominal")


def column(env: RobotEnv, name: str) -> int:
    return env.controller.observation_names.index(name)


@pytest.mark.parametrize("seed", [*range(3), 8])  # in 2 and 8 the cube slips in the fingers
def test_expert_puts_the_cube_on_the_mark(env: RobotEnv, seed: int):
    """It ends there though it began elsewhere, and lies on the table."""
    observations, success = run_expert(env, seed)
    assert success
    off = observations[:, [column(env, f"to_mark.{axis}") for axis in "xyz"]] / 10.0
    assert np.linalg.norm(off[0]) >= env.robot.scene.task.goal_apart - 1e-3
    assert np.linalg.norm(off[-1]) <= 0.03
    assert off[:, 2].max() > 0.02  # it was carried, not pushed
    assert env.robot.task.goal[2] == pytest.approx(0.02, abs=1e-3)


def test_a_cube_that_is_held_over_its_mark_is_not_placed(env: RobotEnv):
    """Success waits for the fingers to leave it."""
    expert = make_expert(env)
    env.reset(seed=0)
    on_mark = 0
    while True:
        terminated = env.step(expert())[2]
        off = env.robot.task.goal - env.robot.task.destination
        if terminated:
            break
        on_mark += bool(np.linalg.norm(off) <= 0.03)
    assert on_mark > 3
    assert np.linalg.norm(env.controller.tool_position - env.robot.task.goal) >= 0.05


def test_same_seed_same_episode_bit_for_bit(env: RobotEnv):
    first, _ = run_expert(env, 3)
    other = env.reset(seed=4)[0]
    fresh, _ = run_expert(RobotEnv("ur5e_pick_place", "nominal"), 3)
    assert not np.array_equal(first[0], other)
    np.testing.assert_array_equal(first, fresh)


def test_marks_lie_anywhere_but_not_under_the_cube(env: RobotEnv):
    cubes, marks = [], []
    for seed in range(60):
        samples = env.robot.reset(seed)
        cubes.append(samples["cube"].values["position"])
        marks.append(samples["mark"].values["position"])
    assert np.all(np.ptp(np.array(marks)[:, :2], axis=0) > 0.12)
    apart = np.linalg.norm(np.array(marks) - cubes, axis=1)
    assert apart.min() >= env.robot.scene.task.goal_apart - 1e-3
    assert apart.max() < 0.24


def test_nothing_collides_with_the_mark(env: RobotEnv):
    mark = env.robot.model.geom("mark")
    assert mark.contype == mark.conaffinity == 0


def test_a_source_that_does_not_tell_the_mark_is_named(tmp_path: Path):
    text = (share_dir() / "robot_configs" / "ur5e_pick_place.yaml").read_text()
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace("- name: mark ", "- name: pad ").replace("mark.pos", "pad.pos"))
    with pytest.raises(ConfigError, match=r"task.goal_source = 'mark'.*arm, cube, pad"):
        SimulatedRobot(RobotConfig.load(path))


def test_a_mark_that_cannot_be_laid_down_is_refused(env: RobotEnv):
    task = env.robot.scene.task.model_copy(update={"goal_body": "cube"})
    with pytest.raises(ConfigError, match="task.goal_body = 'cube': must be a mocap body"):
        make_task(task, env.robot)


def test_a_success_that_refers_to_no_position_is_named(tmp_path: Path):
    text = (share_dir() / "robot_configs" / "ur5e_pick_place.yaml").read_text()
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace("tool: tool.position,", "tool: last_action,"))
    with pytest.raises(ConfigError, match="episode.success.tool = 'last_action': has 4 elements"):
        RobotEnv(RobotConfig.load(path))
