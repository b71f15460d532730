"""Recordings of other rates, with holes, and broken ones: what fits comes in, the rest by name."""

import numpy as np
import pytest
from mcap.writer import Writer
from recorder import Bag, recording
from rosbags.rosbag2 import Reader

from porl_ros.replay import read_store
from porl_ros.replay.recordings.bag_import import Imported, ImportSettings, import_recording
from porl_ros.replay.recordings.recording import Recording, RecordingError
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.observation import Sample

MS, SECOND = 1_000_000, 1_000_000_000
BEGIN = 1_700_000_123 * SECOND


@pytest.fixture(scope="module")
def tool(config):
    """Arm joints (6,) for a way of the tool from home along x, m; close to home, so linear."""
    kinematics = ArmKinematics(config.kinematics)
    reach = 0.06
    there = kinematics.home
    for _ in range(5):
        there = kinematics.solve(there, kinematics.home_position + [reach, 0.0, 0.0])
    return lambda way: kinematics.home + (there - kinematics.home) * way / reach


class Robot:
    """A robot that does what it is told, at rates that are not those of the contract."""

    def __init__(self, bag: Bag, tool):
        self._bag, self._tool, self.way = bag, tool, 0.0

    def joints(self, stamp: int) -> None:
        values = {"position": self._tool(self.way), "velocity": np.zeros(6)}
        self._bag.samples({"arm": Sample(stamp, values), "socket": None}, only="arm")

    def socket(self, stamp: int) -> None:
        values = {"position": np.array([0.5, 0.1, 0.1]), "orientation": np.array([0, 0, 0, 1.0])}
        self._bag.samples({"socket": Sample(stamp, values)}, only="socket")

    def command(self, way: float) -> None:
        self.way = way
        self._bag.command(self._tool(way))


def drive(
    path, config, tool, seconds=3.0, commands_ms=20, joints_ms=10, socket_ms=200, speed=0.03,
    jitter=0, quiet=(9e9, 9e9),
) -> None:  # fmt: skip
    """Move along x at `speed` m/s; the socket is quiet in an interval, s."""
    random = np.random.default_rng(0)
    with recording(path, config) as bag:
        robot = Robot(bag, tool)
        sent = 0
        for ms in range(0, int(seconds * 1000), 5):
            stamp = BEGIN + ms * MS
            if ms % socket_ms == 0 and not quiet[0] <= ms / 1000 < quiet[1]:
                robot.socket(stamp)
            if ms % joints_ms == 0:
                robot.joints(stamp)
            if ms >= sent:
                robot.command(speed * ms / 1000)
                sent += commands_ms + int(random.integers(-jitter, jitter + 1)) // 5 * 5


def take_in(path, config, store, **settings) -> tuple[Imported, np.ndarray]:
    settings = ImportSettings(**({"success": "never"} | settings))
    found = import_recording(path, config, store, settings)
    return found, np.concatenate([chunk.rows for chunk in read_store(store)])


def test_what_runs_at_other_rates_comes_in_at_the_control_rate(config, tool, tmp_path):
    drive(tmp_path / "bag", config, tool)
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    assert np.array_equal(rows["stamp"], BEGIN + np.arange(30) * 100 * MS)
    # 3 mm a step; the first begins where the robot is, the last is shorter
    assert np.allclose(rows["action"][1:-1, 0] * config.action.scale, 0.003, atol=2e-4)
    assert np.abs(rows["action"][:, 1:]).max() < 0.1
    assert found.unexplained == 0


def test_steps_begin_with_the_commands_where_they_come_at_the_control_rate(config, tool, tmp_path):
    """Otherwise a step would now have two of them and now none."""
    drive(tmp_path / "bag", config, tool, commands_ms=100, jitter=20)
    _, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    stamps = np.diff(rows["stamp"]) / MS
    assert stamps.min() >= 75
    assert stamps.max() <= 125
    assert np.std(stamps) > 5
    moved = rows["action"][1:-1, 0] * config.action.scale
    assert np.allclose(moved, 0.03 * stamps[:-1] / 1000, atol=2e-4)


def test_what_no_action_reaches_is_cut_and_counted(config, tool, tmp_path):
    drive(tmp_path / "bag", config, tool, seconds=0.6, speed=0.2)  # 20 mm a step, at most 12 fit
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    assert found.unexplained >= 4
    assert rows["action"].max() == 1.0


def test_steps_without_a_fresh_source_are_left_out_and_named(config, tool, tmp_path):
    drive(tmp_path / "bag", config, tool, seconds=6.0, quiet=(2.0, 4.0), speed=0.01)
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    assert found.skipped == {"socket_pose: older than 1.0 s": 11}
    assert found.episodes == 2
    gap = np.flatnonzero(np.diff(rows["stamp"]) > 110 * MS)
    assert len(gap) == 1
    assert rows["truncated"][gap[0]] == 1
    assert rows["terminated"].sum() == 0
    (chunk,) = read_store(tmp_path / "store")
    assert len(chunk.finals) == 2


@pytest.mark.slow
def test_an_episode_longer_than_the_horizon_is_truncated_and_goes_on(config, tool, tmp_path):
    drive(tmp_path / "bag", config, tool, seconds=8.0, speed=0.01)
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    assert found.episodes == 2
    horizon = config.episode.horizon
    assert np.flatnonzero(rows["truncated"]).tolist() == [horizon - 1, len(rows) - 1]
    assert rows["step"][horizon] == 0


def test_messages_that_do_not_fit_are_refused_by_name(config, tool, tmp_path):
    with recording(tmp_path / "bag", config) as bag:
        robot = Robot(bag, tool)
        for number in range(20):
            stamp = BEGIN + number * 100 * MS
            robot.socket(stamp)
            robot.joints(stamp)
            robot.command(0.002 * number)
            bag.command(np.zeros(5))
            bag.command(np.full(6, np.nan))
            robot.way = np.nan
            robot.joints(stamp + MS)
            robot.way = 0.0
    found, rows = take_in(tmp_path / "bag", config, tmp_path / "store")
    assert len(rows) == 19
    told = dict(found.refused)
    topic = config.action.command.topic
    assert told.pop(f"{topic}: values that are not finite") == 20
    assert told.pop("joint_states: position holds values that are not finite") == 20
    ((text, count),) = told.items()
    assert text.startswith(f"{topic}: 5 values for 6 joints")
    assert count == 20


@pytest.mark.parametrize("stamps", [[0, 0], [5 * SECOND, 2 * SECOND]])
def test_a_clock_that_is_none_is_refused(config, tool, tmp_path, stamps):
    with recording(tmp_path / "bag", config) as bag:
        robot = Robot(bag, tool)
        for stamp in stamps:
            for number in range(20):
                robot.socket(stamp + number * 10 * MS * bool(stamp))
                robot.joints(stamp + number * 10 * MS * bool(stamp))
                robot.command(0.0)
    with pytest.raises(RecordingError, match=r"carries no stamp|the clock goes back by 3\.2 s"):
        take_in(tmp_path / "bag", config, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_topic_of_another_type_is_refused(config, tmp_path):
    with recording(tmp_path / "bag", config) as bag:
        bag.flag("joint_states", True)
        bag.flag("socket_pose", True)
    with pytest.raises(
        RecordingError, match="/joint_states carries std_msgs/msg/Bool, the robot config says sens"
    ):
        take_in(tmp_path / "bag", config, tmp_path / "store")


def test_a_recording_without_anything_usable_says_why(config, tool, tmp_path):
    with recording(tmp_path / "bag", config) as bag:
        robot = Robot(bag, tool)
        robot.joints(BEGIN)
        robot.socket(BEGIN)
    with pytest.raises(RecordingError, match="holds no step of this contract"):
        take_in(tmp_path / "bag", config, tmp_path / "store")
    with pytest.raises(RecordingError, match="no topic /done"):
        take_in(tmp_path / "bag", config, tmp_path / "store", success="done")
    assert not (tmp_path / "store").exists()


def test_what_is_no_recording_is_refused(config, tmp_path):
    (tmp_path / "notes.txt").write_text("shopping list")
    (tmp_path / "notes.mcap").write_text("shopping list")
    (tmp_path / "empty.mcap").touch()
    (tmp_path / "notes.db3").write_text("shopping list")
    (tmp_path / "folder").mkdir()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(RecordingError, match="cannot be read as a recording"):
            Recording(path)
    with pytest.raises(RecordingError, match="there is no recording"):
        Recording(tmp_path / "nowhere")


@pytest.mark.parametrize("storage", ["db3", "mcap"])
def test_a_recording_that_was_cut_short_or_damaged_is_refused(config, tool, tmp_path, storage):
    """Or, where the damage is not to be noticed, read without an error."""
    with recording(tmp_path / "bag", config, mcap=storage == "mcap") as bag:
        robot = Robot(bag, tool)
        for number in range(40):
            robot.socket(BEGIN + number * 100 * MS)
            robot.joints(BEGIN + number * 100 * MS)
            robot.command(0.002 * number)
    (file,) = (tmp_path / "bag").glob(f"*.{storage}")
    data, random, refused = file.read_bytes(), np.random.default_rng(0), 0
    for case in range(12):
        broken = bytearray(data)
        at = int(random.integers(len(broken)))
        if case % 2:
            broken[at] ^= 1 << int(random.integers(8))
        else:
            del broken[at:]
        file.write_bytes(broken)
        try:
            list(Recording(file).messages(["/joint_states"]))
        except RecordingError:
            refused += 1
    assert refused >= 4


@pytest.mark.slow
@pytest.mark.parametrize("indexed", [True, False])
def test_an_mcap_of_anybody_is_read(config, tool, tmp_path, indexed):
    """Of another writer, without the rosbag2 around it, and without its index."""
    drive(tmp_path / "bag", config, tool, seconds=1.0, commands_ms=100)
    whole, rows = take_in(tmp_path / "bag", config, tmp_path / "a")
    with Reader(tmp_path / "bag") as bag, open(tmp_path / "other.mcap", "wb") as out:
        writer = Writer(out, repeat_channels=indexed, use_chunking=indexed)
        writer.start(profile="")
        channels = {}
        for connection in bag.connections:
            definition = connection.msgdef.data.encode()
            schema = writer.register_schema(connection.msgtype, "ros2msg", definition)
            channels[connection.topic] = writer.register_channel(connection.topic, "cdr", schema)
        for connection, time, data in bag.messages():
            writer.add_message(channels[connection.topic], time, bytes(data), time)
        writer.finish()
    found, same = take_in(tmp_path / "other.mcap", config, tmp_path / "b")
    assert np.array_equal(rows, same)
    assert (found.episodes, found.skipped) == (whole.episodes, whole.skipped)


@pytest.mark.slow
def test_a_single_file_of_a_rosbag2_is_read(config, tool, tmp_path):
    drive(tmp_path / "bag", config, tool, seconds=1.0)
    _, rows = take_in(tmp_path / "bag", config, tmp_path / "a")
    (file,) = (tmp_path / "bag").glob("*.db3")
    assert np.array_equal(take_in(file, config, tmp_path / "b")[1], rows)
