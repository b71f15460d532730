"""The tasks: what each promises to every method, its demonstrations, and what is kept of them."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.finetuning.bases import folder
from benchmarks.finetuning.episodes import EVALUATION_SEED, evaluate
from benchmarks.finetuning.locomotion_tasks import DISTANCE, SparseHopper, make_expert
from benchmarks.finetuning.metaworld_tasks import insert_peg
from benchmarks.finetuning.tasks import TASKS, Task

ROOT = Path(__file__).parents[2]
METAWORLD = ROOT / ".venv-metaworld" / "bin" / "python"
HERE = [task for task in TASKS.values() if task.requirements == "main"]


@pytest.fixture(params=HERE, ids=lambda task: task.name)
def task(request) -> Task:
    return request.param


def test_a_task_is_flat_sparse_and_ends_at_its_horizon(task: Task):
    env = task.make(0)
    observation, _ = env.reset()
    assert observation.dtype == np.float32
    assert observation.shape == env.observation_space.shape
    assert np.abs(env.action_space.low).max() == np.abs(env.action_space.high).max() == 1.0
    still = np.zeros(env.action_space.shape, np.float32)
    for step in range(1, task.horizon + 1):
        observation, reward, terminated, truncated, _ = env.step(still)
        assert observation.dtype == np.float32
        assert reward == 0.0
        if terminated:  # the hopper fell
            return
        assert truncated == (step == task.horizon)


def test_its_episodes_follow_from_the_run_and_never_meet_those_of_evaluation(task: Task):
    first, second = (task.make(3) for _ in range(2))
    starts = [first.reset()[0] for _ in range(2)]
    np.testing.assert_array_equal(starts, [second.reset()[0] for _ in range(2)])
    assert not np.array_equal(*starts)
    judged = first.reset(seed=EVALUATION_SEED)[0]
    first.step(first.action_space.sample())
    np.testing.assert_array_equal(first.reset(seed=EVALUATION_SEED)[0], judged)
    np.testing.assert_array_equal(first.reset()[0], task.make(3).reset(seed=3_000_002)[0])


def test_the_expert_succeeds_where_it_shows_the_task(task: Task):
    env = task.build_demo()
    expert = task.build_expert(env)
    assert evaluate(env, lambda observation: expert(), 3).all()


def test_the_hard_cell_can_be_mastered():
    """Not by the expert, who chases a tool that is late; by one who steers the tool's target."""
    env = TASKS["ur5e_insert_hard"].build()

    def steer(observation: np.ndarray) -> np.ndarray:
        socket, tool = env.robot.task.goal, env.controller.tool_position
        aligned = np.hypot(*(tool - socket)[:2]) < 0.003 or tool[2] < socket[2]
        wanted = socket + [0.0, 0.0, -0.04 if aligned else 0.012]
        return (wanted - env.controller.decoder.target) / env.robot.config.action.scale

    assert evaluate(env, steer, 5).all()


def test_demonstrations_are_the_same_again_and_read_back_from_disk(reach: Task):
    kept = reach.demos(2)
    assert len(kept) == reach.demonstrations
    path = folder(reach, 2) / "demos.npz"
    read = reach.demos(2)
    path.unlink()
    for again in (read, reach.demos(2)):
        for one, other in zip(kept, again, strict=True):
            for part, expected in zip(other, one, strict=True):
                np.testing.assert_array_equal(part, expected)
    assert not np.array_equal(kept[0].observations, reach.demos(3)[0].observations)


def test_a_demonstration_holds_what_was_done_and_what_was_meant(reach: Task):
    for episode in reach.demos(0):
        steps = len(episode.rewards)
        assert episode.observations.shape == (steps + 1, 2)
        assert episode.actions.shape == episode.intended.shape == (steps, 2)
        assert episode.rewards.sum() == episode.rewards[-1] == 1.0
        assert episode.terminated
        assert 0.02 < np.abs(episode.actions - episode.intended).mean() < 0.2


def test_damaged_demonstrations_are_recorded_again(reach: Task):
    kept = reach.demos(0)
    path = folder(reach, 0) / "demos.npz"
    for damage in (path.read_bytes()[:100], b"", b"not a zip file"):
        path.write_bytes(damage)
        np.testing.assert_array_equal(reach.demos(0)[0].actions, kept[0].actions)


def test_a_base_is_kept_until_its_settings_change(reach: Task):
    def weights(task: Task) -> np.ndarray:
        return task.base(0).layers[0].weight.detach().numpy()

    first = weights(reach)
    made = (folder(reach, 0) / "policy" / "manifest.json").stat().st_mtime_ns
    np.testing.assert_array_equal(weights(reach), first)
    assert (folder(reach, 0) / "policy" / "manifest.json").stat().st_mtime_ns == made
    other = dataclasses.replace(reach, demo_noise=0.2)
    assert not np.array_equal(weights(other), first)
    np.testing.assert_array_equal(weights(reach), first)


def test_hopping_the_distance_is_rewarded_and_a_fall_is_not():
    env = SparseHopper(horizon=150, slope=0.0)
    expert, ended = make_expert(env), False
    env.reset(seed=0)
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(expert())
        ended = terminated or truncated
    assert terminated
    assert reward == 1.0
    assert observation[-1] >= 1.0
    assert env.unwrapped.data.qpos[0] >= DISTANCE
    env.reset(seed=0)
    ended = False
    while not ended:
        _, reward, ended, truncated, _ = env.step(np.array([1.0, -1.0, 1.0], np.float32))
        assert reward == 0.0
        assert not truncated


def test_the_peg_expert_bears_with_a_peg_that_hangs_low_once_it_holds_it():
    """The package's goes after it, downwards, for ever."""
    raw = np.zeros(39)
    raw[:3], raw[4:7], raw[-3:] = [0.1, 0.6, 0.15], [0.1, 0.6, 0.11], [-0.3, 0.5, 0.13]
    raw[3] = 0.9  # open
    assert insert_peg(raw)[2] < 0.0
    raw[3] = 0.3  # closed on it
    x, y, z, grip = insert_peg(raw)
    assert y < 0.0 < z
    assert grip > 0.0


@pytest.mark.slow
@pytest.mark.skipif(not METAWORLD.is_file(), reason="`make metaworld` has not been run")
def test_meta_world_in_its_own_environment(tmp_path):
    """All it needs of porl_ros is there, episodes are deterministic, the experts succeed."""
    program = """
import numpy as np
from benchmarks.finetuning import methods, run
from benchmarks.finetuning.episodes import evaluate
from benchmarks.finetuning.tasks import TASKS
for task in (t for t in TASKS.values() if t.requirements == "metaworld"):
    env = task.make(0)
    start = env.reset(seed=5)[0]
    action = np.array([0.5, 0.5, -0.5, 0.5], np.float32)
    first = [env.step(action)[0] for _ in range(5)]
    env.reset(seed=6)
    np.testing.assert_array_equal(env.reset(seed=5)[0], start)
    np.testing.assert_array_equal([env.step(action)[0] for _ in range(5)], first)
    expert = task.build_expert(env.unwrapped)
    print(task.name, evaluate(env, lambda observation: expert(), 4).mean())
"""
    command = [str(METAWORLD), "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    results = dict(line.split() for line in done.stdout.splitlines())
    assert set(results) == {name for name in TASKS if name.startswith("mw_")}
    assert all(float(success) >= 0.75 for success in results.values())
