"""What a recorder hears of the running nodes comes in as what they recorded themselves."""

import numpy as np
import pytest
from by_hand import ACTIVATE, CONFIGURE, Operator
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from running import read_rows, running
from std_msgs.msg import Bool

from porl_ros.nodes import messages
from porl_ros.replay.recordings.bag_import import ImportSettings, import_recording
from porl_ros.replay.schema import robot_schema

pytestmark = pytest.mark.slow

FLAG, STEPS, SEED = "policy/episode_success", 130, 7
Heard = list[tuple[int, str, str, bytes]]  # when it was sent, topic, type, content


def listen(node, config) -> Heard:
    """Hear what goes over DDS, as bytes, as a recorder does."""
    heard: Heard = []
    topics = {source.topic: source.type for source in config.observation.sources}
    topics |= {config.action.command.topic: config.action.command.type}
    kinds = messages.MESSAGES | {"std_msgs/msg/Bool": Bool}
    for topic, kind in (topics | {FLAG: "std_msgs/msg/Bool"}).items():

        def hear(data: bytes, about: dict, topic=topic, kind=kind) -> None:
            heard.append((about["source_timestamp"], topic, kind, data))

        deep = messages.qos(reliable=True, depth=1000)
        node.create_subscription(kinds[kind], topic, hear, deep, raw=True)
    return heard


def write_bag(path, heard: Heard) -> None:
    types = get_typestore(Stores.LATEST)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for time, topic, kind, data in sorted(heard, key=lambda entry: entry[0]):
            if topic not in connections:
                connections[topic] = writer.add_connection(f"/{topic}", kind, typestore=types)
            writer.write(connections[topic], time, bytes(data))


def test_a_recording_of_the_nodes_is_what_they_recorded(tmp_path, config, base):
    options = {"learner": False, "explore": False, "seed": SEED}
    own = {"max_steps": STEPS, "autostart": False}
    with running(tmp_path, base, extra=own, **options) as system:
        node, operator = system.monitor.node, Operator(system)
        heard = listen(node, config)
        assert operator.change("policy", CONFIGURE) == [True]
        topics = [*(source.topic for source in config.observation.sources), FLAG]
        topics.append(config.action.command.topic)
        system.wait_for(lambda: all(node.count_publishers(topic) for topic in topics))
        assert operator.change("policy", ACTIVATE) == [True]
        system.wait_for(lambda: system.monitor.policy_steps == STEPS)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
        system.monitor.spin(0.2)  # what is on its way
    write_bag(tmp_path / "bag", heard)
    settings = ImportSettings(success=FLAG)
    found = import_recording(tmp_path / "bag", config, tmp_path / "imported", settings)
    assert found.refused == {}
    ours, theirs = read_rows(tmp_path / "imported"), read_rows(tmp_path / "store")
    assert len(theirs["stamp"]) == STEPS
    for name in ("stamp", "episode", "step", "reward", "terminated"):
        assert np.array_equal(ours[name], theirs[name]), name
    names = robot_schema(config).observation_names
    seen = [i for i, name in enumerate(names) if not name.startswith("last_action")]
    assert np.array_equal(ours["observation"][:, seen], theirs["observation"][:, seen])
    # Where the lead does not cut an action short, it follows from the command
    assert np.median(np.abs(ours["action"] - theirs["action"])) < 1e-3
