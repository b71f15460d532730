"""Recordings of ROS 2: rosbag2 folders, their files, and MCAP files of anybody.

Messages are read by the standard definitions of their types, never by definitions that a file
brings along: what comes in a file is data, and is not made into code.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mcap.reader import McapReader, make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from porl_ros.errors import PorlError


class RecordingError(PorlError):
    """A recording cannot be read, or does not hold what is needed of it."""


class Topic(NamedTuple):
    """What goes over a topic of a recording."""

    kind: str  # "sensor_msgs/msg/JointState"
    count: int  # messages; 0 where the file does not say


class Recording:
    """A rosbag2 folder, a `.db3` or a `.mcap` file. `progress` is called for each message."""

    def __init__(self, path: Path, progress: Callable[[], None] = lambda: None):
        """Raises RecordingError."""
        if not path.exists():
            raise RecordingError(f"{path}: there is no recording; name a rosbag2 folder or a file")
        self.path, self.progress = path, progress
        self._source = _McapFile(path) if path.suffix == ".mcap" else _Bag(path)
        self._types = get_typestore(Stores.LATEST)
        with self._told():
            self.topics: dict[str, Topic] = self._source.topics()

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, object | None]]:
        """(topic, message) of these topics, in the order in which they were recorded.

        What cannot be decoded comes as None. Raises RecordingError.
        """
        with self._told():
            for topic, data in self._source.messages(topics):
                self.progress()
                yield topic, self._decode(topic, data)

    def _decode(self, topic: str, data: bytes) -> object | None:
        try:
            return self._types.deserialize_cdr(data, self.topics[topic].kind)
        except Exception:  # noqa: BLE001  whatever damaged bytes lead to
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except PorlError:
            raise
        except Exception as error:  # the libraries raise whatever a damaged file leads them to
            raise RecordingError(
                f"{self.path}: cannot be read as a recording ({type(error).__name__}: {error}); a "
                "recorder that was killed leaves a file without its end, which `mcap recover` or "
                "`ros2 bag reindex` mends"
            ) from error


class _Bag:
    """What rosbag2 writes."""

    def __init__(self, path: Path):
        self._path = path

    def topics(self) -> dict[str, Topic]:
        with Reader(self._path) as reader:
            return {c.topic: Topic(c.msgtype, c.msgcount) for c in reader.connections}

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, bytes]]:
        with Reader(self._path) as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            for connection, _, data in reader.messages(wanted) if wanted else ():
                yield connection.topic, data


class _McapFile:
    """An MCAP file by itself, whoever wrote it, if the messages in it are those of ROS 2."""

    def __init__(self, path: Path):
        self._path = path

    def topics(self) -> dict[str, Topic]:
        with self._reader() as reader:
            summary = reader.get_summary()
            if summary and summary.channels:
                counts = summary.statistics.channel_message_counts if summary.statistics else {}
                channels = [
                    (summary.schemas.get(channel.schema_id), channel, counts.get(number, 0))
                    for number, channel in summary.channels.items()
                ]
            else:  # a file without an index
                channels = [(schema, channel, 0) for schema, channel, _ in reader.iter_messages()]
        return {
            channel.topic: Topic(schema.name, count)
            for schema, channel, count in channels
            if schema and channel.message_encoding == "cdr"
        }

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, bytes]]:
        with self._reader() as reader:
            for _, channel, message in reader.iter_messages(topics=list(topics)):
                yield channel.topic, message.data

    @contextmanager
    def _reader(self) -> Iterator[McapReader]:
        with open(self._path, "rb") as file:
            yield make_reader(file, validate_crcs=True)
