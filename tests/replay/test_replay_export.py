"""What leaves a store is what is in it, and reads with nobody's code but the reader's own."""

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from replay_rows import EPISODE, SCHEMA, log_rows, make_row
from rosbags.highlevel import AnyReader
from tool_stores import ROWS, record, record_and_crash, small_disk

from porl_ros.replay import Actor, ReplayWriter
from porl_ros.replay.disk.layout import read_schema
from porl_ros.replay.tools.export_mcap import export_mcap
from porl_ros.replay.tools.export_npz import export_npz
from porl_ros.replay.tools.runs import runs_of

FINISHED = ROWS // EPISODE  # episodes; the last one is cut


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return record(tmp_path_factory.mktemp("recorded") / "store")


def npz_of(store, path):
    done = export_npz(runs_of(store, read_schema(store)), read_schema(store), path)
    with np.load(path, allow_pickle=False) as file:
        return done, dict(file)


def test_arrays_hold_every_transition_and_what_followed(store, tmp_path):
    done, arrays = npz_of(store, tmp_path / "store.npz")
    assert (done.rows, done.episodes, done.left_out) == (ROWS - 1, FINISHED + 1, 1)
    rows = [make_row(number) for number in range(ROWS)]
    for name in ("observation", "action", "requested_action", "reward", "terminated", "actor"):
        expected = np.array([row[name] for row in rows[:-1]])
        assert np.array_equal(arrays[name], expected), name
        assert arrays[name].dtype == (SCHEMA.row_dtype[name].base if name != "terminated" else bool)
    for name in ("policy_version", "episode", "step", "stamp"):
        assert np.array_equal(arrays[name], [row[name] for row in rows[:-1]]), name
    following = [
        rows[i].get("final_observation", rows[i + 1]["observation"]) for i in range(ROWS - 1)
    ]
    assert np.array_equal(arrays["next_observation"], following)
    assert np.array_equal(arrays["row"], np.arange(ROWS - 1))


def test_arrays_say_where_episodes_begin_and_that_every_one_ends(store, tmp_path):
    _, arrays = npz_of(store, tmp_path / "store.npz")
    offsets = arrays["episode_offsets"]
    assert np.array_equal(offsets, [*range(0, ROWS - 1, EPISODE), ROWS - 1])
    ends = offsets[1:] - 1
    over = arrays["terminated"] | arrays["truncated"]
    assert np.flatnonzero(over).tolist() == ends.tolist()
    assert not (arrays["terminated"] & arrays["truncated"]).any()


def test_arrays_name_what_is_in_them(store, tmp_path):
    _, arrays = npz_of(store, tmp_path / "store.npz")
    assert arrays["observation_names"].tolist() == ["x", "y", "z"]
    assert arrays["action_names"].tolist() == ["u", "v"]
    assert arrays["run_names"].tolist() == ["arm/one"]
    assert arrays["actor_names"][Actor.HUMAN] == "human"
    assert str(arrays["contract_hash"]) == "c0ffee"


def test_runs_are_kept_apart_in_arrays(tmp_path):
    for run, rows in (("a", 9), ("b", 14)):
        record(tmp_path / "store", run, rows)
    done, arrays = npz_of(tmp_path / "store", tmp_path / "store.npz")
    assert done == (22, 4, 1)  # the first run ends within an episode
    assert arrays["run"].tolist() == [0] * 8 + [1] * 14
    assert arrays["episode_offsets"].tolist() == [0, 7, 8, 15, 22]


def test_an_export_of_blocks_is_that_of_the_whole(store, tmp_path, monkeypatch):
    whole = npz_of(store, tmp_path / "whole.npz")
    for size in (1, 7, 20):
        monkeypatch.setattr("porl_ros.replay.tools.export_npz.BLOCK_ROWS", size)
        done, arrays = npz_of(store, tmp_path / f"{size}.npz")
        assert done == whole[0]
        assert all(np.array_equal(arrays[name], whole[1][name]) for name in whole[1])


def test_an_episode_that_is_closed_later_ends_in_the_arrays(tmp_path):
    with ReplayWriter(tmp_path / "store", SCHEMA, "arm", "one") as writer:
        log_rows(writer, 3)
        writer.flush()
        writer.end_episode(np.full(3, 9.0))
    done, arrays = npz_of(tmp_path / "store", tmp_path / "store.npz")
    assert done == (3, 1, 0)
    assert arrays["truncated"].tolist() == [False, False, True]
    assert arrays["next_observation"][-1].tolist() == [9.0, 9.0, 9.0]


def test_an_empty_store_has_empty_arrays_and_an_empty_recording(tmp_path):
    store = record(tmp_path / "store", rows=0)
    done, arrays = npz_of(store, tmp_path / "store.npz")
    assert done == (0, 0, 0)
    assert arrays["observation"].shape == (0, 3)
    assert arrays["episode_offsets"].tolist() == [0]
    schema = read_schema(store)
    assert export_mcap(runs_of(store, schema), schema, tmp_path / "store.mcap") == 0
    with open(tmp_path / "store.mcap", "rb") as file:
        assert list(make_reader(file).iter_messages()) == []


def test_a_recording_reads_back_by_its_own_definitions(store, tmp_path):
    """With the decoder that takes the message definitions out of the file."""
    schema = read_schema(store)
    assert export_mcap(runs_of(store, schema), schema, tmp_path / "store.mcap") == ROWS
    told: dict[str, list] = {}
    with open(tmp_path / "store.mcap", "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        (about,) = reader.iter_metadata()
        assert about.metadata == {"/arm/one": "arm/one", "contract_hash": "c0ffee"}
        for _, channel, message, content in reader.iter_decoded_messages():
            assert channel.message_encoding == "cdr"
            told.setdefault(channel.topic.removeprefix("/arm/one/"), []).append((message, content))
    for number in range(ROWS):
        row = make_row(number)
        for name in ("observation", "action", "requested_action"):
            message, content = told[name][number]
            assert message.log_time == row["stamp"]
            stamp = content.header.stamp
            assert stamp.sec * 10**9 + stamp.nanosec == row["stamp"]
            names = schema.observation_names if name == "observation" else schema.action_names
            assert content.name == list(names)
            assert np.array_equal(content.position, row[name])
        for name in ("reward", "episode", "step", "policy_version"):
            assert told[name][number][1].data == row[name]
        assert told["actor"][number][1].data == Actor(row["actor"]).name.lower()
    assert len(told["success"]) == len(told["final_observation"]) == FINISHED
    assert {content.data for _, content in told["success"]} == {True, False}


def test_a_recording_reads_back_with_the_tools_of_rosbag(store, tmp_path):
    schema = read_schema(store)
    export_mcap(runs_of(store, schema), schema, tmp_path / "store.mcap")
    with AnyReader([tmp_path / "store.mcap"]) as reader:
        topics = {topic: info.msgtype for topic, info in reader.topics.items()}
        assert topics["/arm/one/observation"] == "sensor_msgs/msg/JointState"
        assert topics["/arm/one/success"] == "std_msgs/msg/Bool"
        actions = [c for c in reader.connections if c.topic == "/arm/one/action"]
        data = [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(actions)]
    assert [message.position[0] for message in data] == list(range(ROWS))


def test_names_that_are_no_topics_become_some(tmp_path):
    store = tmp_path / "store"
    for run in ("2026.11-a", "2026_11_a"):
        record(store, run, rows=2)
    schema = read_schema(store)
    export_mcap(runs_of(store, schema), schema, tmp_path / "store.mcap")
    with open(tmp_path / "store.mcap", "rb") as file:
        reader = make_reader(file)
        (about,) = reader.iter_metadata()
        channels = {channel.topic for channel in reader.get_summary().channels.values()}
    assert about.metadata["/arm/_2026_11_a"] == "arm/2026.11-a"
    assert about.metadata["/arm/_2026_11_a_"] == "arm/2026_11_a"
    assert {"/arm/_2026_11_a/reward", "/arm/_2026_11_a_/reward"} <= channels


def test_what_waits_in_a_journal_is_exported_too(tmp_path):
    store = record_and_crash(tmp_path / "store")
    assert npz_of(store, tmp_path / "store.npz")[0].rows == ROWS - 1


@pytest.mark.parametrize("export", [export_npz, export_mcap])
def test_an_export_to_a_full_disk_leaves_nothing(store, tmp_path, export):
    schema = read_schema(store)
    with small_disk(tmp_path / "disk", "8k") as disk:
        with pytest.raises(OSError, match="No space left"):
            export(runs_of(store, schema), schema, disk / "store")
        assert list(disk.iterdir()) == []
