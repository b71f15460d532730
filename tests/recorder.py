"""Records the simulated robot as a recorder on a real one would: bags of real messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Samples

TYPES = get_typestore(Stores.LATEST)


def message(kind: str, *fields: object) -> object:
    return TYPES.types[kind](*fields)


def header(stamp: int) -> object:
    time = message("builtin_interfaces/msg/Time", *divmod(stamp, 10**9))
    return message("std_msgs/msg/Header", time, "base")


class Bag:
    """A bag that is being recorded."""

    def __init__(self, writer: Writer, config: RobotConfig, namespace: str = ""):
        self._writer, self._config, self._namespace = writer, config, namespace
        self._connections: dict[str, object] = {}
        self.received = 1_700_000_000 * 10**9  # the recorder's clock, which is not the robot's

    def write(self, topic: str, kind: str, content: object) -> None:
        topic = f"{self._namespace}/{topic}"
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=TYPES)
        self.received += 1_000_000
        data = TYPES.serialize_cdr(content, kind)
        self._writer.write(self._connections[topic], self.received, data)

    def samples(self, samples: Samples, only: str | None = None) -> None:
        """What the drivers publish of these samples."""
        for source in self._config.observation.sources:
            if only is not None and source.name != only:
                continue
            sample = samples[source.name]
            if source.type == "sensor_msgs/msg/JointState":
                values = sample.values
                content = message(
                    source.type, header(sample.stamp), list(source.joints),
                    values["position"].astype(float), values["velocity"].astype(float), np.empty(0),
                )  # fmt: skip
            else:
                point = message("geometry_msgs/msg/Point", *map(float, sample.values["position"]))
                turn = map(float, sample.values["orientation"])
                pose = message(
                    "geometry_msgs/msg/Pose", point, message("geometry_msgs/msg/Quaternion", *turn)
                )
                content = message(source.type, header(sample.stamp), pose)
            self.write(source.topic, source.type, content)

    def command(self, command: np.ndarray, label: str = "") -> None:
        size, kind = len(command), "std_msgs/msg/MultiArrayDimension"
        dimensions = [message(kind, label, size, size)] if label else []
        layout = message("std_msgs/msg/MultiArrayLayout", dimensions, 0)
        kind = "std_msgs/msg/Float64MultiArray"
        self.write(self._config.action.command.topic, kind, message(kind, layout, command))

    def trajectory(self, command: np.ndarray, stamp: int) -> None:
        duration = message("builtin_interfaces/msg/Duration", 0, 100_000_000)
        none = np.empty(0)
        kind = "trajectory_msgs/msg/JointTrajectory"
        point = message(f"{kind}Point", command, none, none, none, duration)
        content = message(kind, header(stamp), list(self._config.command_joints), [point])
        self.write(self._config.action.command.topic, kind, content)

    def flag(self, topic: str, value: bool) -> None:
        self.write(topic, "std_msgs/msg/Bool", message("std_msgs/msg/Bool", value))


@contextmanager
def recording(
    path: Path, config: RobotConfig, mcap: bool = False, namespace: str = ""
) -> Iterator[Bag]:
    """A rosbag2 folder at `path`."""
    storage = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    with Writer(path, version=9, storage_plugin=storage) as writer:
        yield Bag(writer, config, namespace)
