"""Recordings come in as what the robot would have recorded itself, or are refused by name."""

import shutil
from collections import Counter

import numpy as np
import pytest
from demonstrated import Direct, demonstrate
from recorder import Bag

from porl_ros.replay import Actor, ReplayWriter, read_store, robot_schema
from porl_ros.replay.errors import ContractMismatch, RunExists
from porl_ros.replay.recordings.bag_import import Imported, ImportSettings, import_recording
from porl_ros.replay.recordings.recording import RecordingError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv

FLAG = "policy/episode_success"
SEED, EPISODES = 1, 3


@pytest.fixture(scope="module")
def trajectory_config(config):
    """The shipped robot with the other command interface."""
    command = {"type": "trajectory_msgs/msg/JointTrajectory", "topic": "arm/joint_trajectory"}
    content = config.model_dump(mode="json")
    content["action"]["command"] = command
    return RobotConfig.model_validate(content)


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory, config):
    """A bag of three episodes, and what the robot would have recorded of them itself."""
    bag = tmp_path_factory.mktemp("recorded") / "demos"
    return bag, demonstrate(bag, config, "calibrated", EPISODES, seed=SEED)


def take_in(bag, config, store, **settings) -> tuple[Imported, np.ndarray]:
    found = import_recording(bag, config, store, ImportSettings(**settings))
    rows = np.concatenate([chunk.rows for chunk in read_store(store, config.contract_hash)])
    assert len(rows) == found.rows
    return found, rows


def unsaturated(config, direct: Direct) -> np.ndarray:
    """Which steps of the target the lead did not cut short; the action then follows exactly."""
    controller = Controller(config)
    tools = np.array([controller.kinematics.tool_position(row) for row in direct.command])
    moved = np.diff(tools, axis=0, prepend=np.nan) / config.action.scale
    asked = np.clip(direct.action, -1, 1)
    return np.abs(moved - asked).max(axis=1) < 1e-3


def compare(config, rows: np.ndarray, direct: Direct) -> None:
    """Bit for bit where that can be: the last action alone is known from its command only."""
    names = robot_schema(config).observation_names
    seen = [i for i, name in enumerate(names) if not name.startswith("last_action")]
    assert np.array_equal(rows["observation"][:, seen], direct.observation[:, seen])
    for name in ("terminated", "episode", "stamp"):
        assert np.array_equal(rows[name], getattr(direct, name)), name
    plain = unsaturated(config, direct)
    assert plain.sum() > 20
    assert np.abs(rows["action"] - direct.action)[plain].max() < 1e-3
    assert np.array_equal(rows["action"], rows["requested_action"])


def test_a_recording_comes_in_as_the_robot_would_have_recorded_it(demonstrated, config, tmp_path):
    bag, direct = demonstrated
    found, rows = take_in(bag, config, tmp_path / "store", success=FLAG, actor=Actor.EXPERT)
    compare(config, rows, direct)
    assert set(rows["actor"]) == {Actor.EXPERT}
    assert set(rows["policy_version"]) == {-1}
    assert (found.episodes, found.successes) == (EPISODES, direct.terminated.sum())
    assert found.commanded
    assert found.unexplained == 0
    assert found.refused + found.skipped == Counter()


def test_the_actions_lead_where_the_recorded_commands_led(demonstrated, config, tmp_path):
    """Also where the lead was used up: carried out again, they send the same commands."""
    bag, direct = demonstrated
    _, rows = take_in(bag, config, tmp_path / "store", success=FLAG)
    env = RobotEnv(config, "calibrated")
    for episode in range(EPISODES):
        own = rows["episode"] == episode
        env.reset(seed=SEED * 1000 + episode)
        for action, command in zip(rows["action"][own], direct.command[own], strict=True):
            *_, info = env.step(action)
            assert np.abs(info["act"].command - command).max() < 1e-5  # rad


def test_the_contract_says_by_itself_what_succeeded(demonstrated, config, tmp_path):
    """Without flags the recording is one stretch; the contract's function ends its episode."""
    bag, direct = demonstrated
    found, rows = take_in(bag, config, tmp_path / "store")
    first = direct.episode == 0
    assert np.array_equal(rows["stamp"], direct.stamp[first])
    assert rows["terminated"].sum() == direct.terminated[first].sum() == found.successes == 1
    assert found.skipped["after the success"] == (~first).sum() + EPISODES - 1


@pytest.mark.slow
@pytest.mark.parametrize("mcap", [False, True])
def test_pauses_part_episodes(config, tmp_path, mcap):
    bag = tmp_path / "bag"
    direct = demonstrate(bag, config, "calibrated", 2, flag=None, mcap=mcap, pause=30)
    found, rows = take_in(bag, config, tmp_path / "store", episode_gap=1.0)
    compare(config, rows, direct)
    assert found.episodes == 2


@pytest.mark.slow
def test_success_can_be_taken_for_granted_or_denied(config, tmp_path):
    bag = tmp_path / "bag"
    direct = demonstrate(bag, config, "calibrated", 2, flag=None, pause=30)
    for success, expected in (("always", 2), ("never", 0)):
        found, rows = take_in(bag, config, tmp_path / success, success=success, episode_gap=1.0)
        assert (found.episodes, found.successes) == (2, expected)
        assert rows["terminated"].sum() == rows["reward"].sum() == expected
        assert np.array_equal(rows["stamp"], direct.stamp)
        (chunk,) = read_store(tmp_path / success)
        assert len(chunk.finals) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "send",
    [
        lambda bag, command, stamp: bag.command(command),
        lambda bag, command, stamp: bag.command(command, "a label of somebody else"),
    ],
)
def test_commands_without_a_stamp_count_as_sent_where_they_were_recorded(config, tmp_path, send):
    direct = demonstrate(tmp_path / "bag", config, "calibrated", 1, send)
    _, rows = take_in(tmp_path / "bag", config, tmp_path / "store", success=FLAG)
    compare(config, rows, direct)


@pytest.mark.slow
@pytest.mark.parametrize("stamped", [True, False])
def test_trajectories_are_commands_too(tmp_path, trajectory_config, stamped):
    def send(bag: Bag, command: np.ndarray, stamp: int) -> None:
        bag.trajectory(command, stamp if stamped else 0)

    direct = demonstrate(tmp_path / "bag", trajectory_config, "calibrated", 1, send)
    _, rows = take_in(tmp_path / "bag", trajectory_config, tmp_path / "store", success=FLAG)
    compare(trajectory_config, rows, direct)


@pytest.mark.slow
def test_without_commands_actions_are_how_the_robot_moved(config, tmp_path):
    direct = demonstrate(tmp_path / "bag", config, "calibrated", 1, lambda *_: None)
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store", success=FLAG)
    assert not found.commanded
    assert np.array_equal(rows["stamp"], direct.stamp)
    names = list(robot_schema(config).observation_names)
    tool = rows["observation"][:, names.index("tool_motion.x") :][:, :3] / 100.0  # m
    moved = rows["action"][:-1] * config.action.scale
    assert np.abs(moved - tool[1:]).max() < 1e-4  # what the next observation says it moved


@pytest.mark.slow
def test_a_robot_in_a_namespace(config, tmp_path):
    bag = tmp_path / "bag"
    direct = demonstrate(bag, config, "calibrated", 1, namespace="/cell/arm1")
    with pytest.raises(RecordingError, match="no topic /joint_states.*--namespace"):
        take_in(bag, config, tmp_path / "store")
    assert not (tmp_path / "store").exists()
    _, rows = take_in(bag, config, tmp_path / "store", namespace="cell/arm1", success=FLAG)
    compare(config, rows, direct)


def test_a_recording_is_taken_in_once(demonstrated, config, tmp_path):
    bag, _ = demonstrated
    found, _ = take_in(bag, config, tmp_path / "store", success=FLAG)
    with pytest.raises(RunExists, match=f"is in .* already, as {found.run}"):
        take_in(bag, config, tmp_path / "store", success=FLAG)
    copy = shutil.copytree(bag, tmp_path / "demos")
    with pytest.raises(RunExists):
        take_in(copy, config, tmp_path / "store", success=FLAG)


def test_a_store_of_another_contract_is_refused(demonstrated, config, tmp_path):
    lift = load_robot("ur5e_lift")
    ReplayWriter(tmp_path / "store", robot_schema(lift), "arm").close()
    with pytest.raises(ContractMismatch):
        take_in(demonstrated[0], config, tmp_path / "store", success=FLAG)


def test_another_robot_is_refused_by_what_it_lacks(demonstrated, tmp_path):
    with pytest.raises(RecordingError, match="no topic /cube_pose; its topics are /forward"):
        take_in(demonstrated[0], load_robot("ur5e_lift"), tmp_path / "store")
