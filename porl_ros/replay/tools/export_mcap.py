"""A store as one MCAP file of standard ROS 2 messages, which viewers open and plot as they are."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import numpy as np
from mcap.writer import Writer
from rosbags.typesys import Stores, get_typestore

from porl_ros import __version__
from porl_ros.replay.schema import ReplaySchema
from porl_ros.replay.tools.blocks import read_blocks
from porl_ros.replay.tools.runs import Run
from porl_ros.replay.tools.statistics import actor_name

BLOCK_ROWS = 4_096  # that are held at once
# Named numbers are JointStates: the one standard message whose values viewers plot by name.
NAMED, NUMBER, COUNT = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64", "std_msgs/msg/Int64"
TRUTH, TEXT = "std_msgs/msg/Bool", "std_msgs/msg/String"
TYPES = {
    "observation": NAMED,
    "final_observation": NAMED,
    "action": NAMED,
    "requested_action": NAMED,
    "reward": NUMBER,
    "success": TRUTH,
    "episode": COUNT,
    "step": COUNT,
    "policy_version": COUNT,
    "actor": TEXT,
}


def export_mcap(
    runs: list[Run],
    schema: ReplaySchema,
    path: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write every row of the runs to `path`, which appears when it is complete; the rows.

    The topics of a run are /ROBOT/RUN/observation and so on (see TYPES), so that runs whose clocks
    overlap stay apart. Time is the stamp of the row. Raises OSError.
    """
    topics = _topics(runs)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        new = Path(folder) / "new.mcap"
        with open(new, "wb") as file:
            messages = _Messages(file, schema)
            rows = sum(messages.write_run(topic, topics[topic], progress) for topic in topics)
            messages.finish({topic: identity.name for topic, (_, identity) in topics.items()})
        new.rename(path)
    return rows


def _topics(runs: list[Run]) -> dict[str, Run]:
    """The runs by the topic below which they go; names become what ROS allows in topics."""
    found: dict[str, Run] = {}
    for run in runs:
        robot, name = (re.sub(r"\W", "_", part, flags=re.ASCII) for part in run[1].name.split("/"))
        topic = "/" + "/".join(f"_{part}" if part[0].isdigit() else part for part in (robot, name))
        while topic in found:
            topic += "_"
        found[topic] = run
    return found


class _Messages:
    """Writes runs as messages. One thread."""

    def __init__(self, file: BinaryIO, schema: ReplaySchema):
        self._schema, self._types = schema, get_typestore(Stores.LATEST)
        self._writer = Writer(file)
        self._writer.start(profile="ros2", library=f"porl_ros {__version__}")
        self._definitions = {
            kind: self._writer.register_schema(kind, "ros2msg", self._definition(kind))
            for kind in dict.fromkeys(TYPES.values())
        }

    def _definition(self, kind: str) -> bytes:
        return self._types.generate_msgdef(kind, ros_version=2)[0].encode()

    def write_run(self, topic: str, run: Run, progress: Callable[[int], None]) -> int:
        """Write the rows of a run; how many."""
        channels = {
            name: self._writer.register_channel(f"{topic}/{name}", "cdr", self._definitions[kind])
            for name, kind in TYPES.items()
        }
        rows, episode = 0, _Return()
        for records in read_blocks(*run, BLOCK_ROWS):
            finals = {int(final["row"]): final for final in records.finals}
            for number, row in enumerate(records.rows, records.first_row):
                episode.add(row)
                for name, fields in self._messages(row, finals.get(number), episode.ret):
                    self._add(channels[name], TYPES[name], int(row["stamp"]), fields)
            rows += len(records.rows)
            progress(len(records.rows))
        return rows

    def finish(self, topics: dict[str, str]) -> None:
        """`topics`: which run each stands for; the file says so, too."""
        about = topics | {"contract_hash": self._schema.contract_hash}
        self._writer.add_metadata("porl_ros", about)
        self._writer.finish()

    def _messages(
        self, row: np.void, final: np.void | None, ret: float
    ) -> Iterator[tuple[str, tuple]]:
        """(name, fields of the message) of everything that a row says."""
        schema, stamp = self._schema, int(row["stamp"])
        yield "observation", self._named(stamp, schema.observation_names, row["observation"])
        yield "action", self._named(stamp, schema.action_names, row["action"])
        yield (
            "requested_action",
            self._named(stamp, schema.action_names, row["requested_action"]),
        )
        yield "reward", (float(row["reward"]),)
        for name in ("episode", "step", "policy_version"):
            yield name, (int(row[name]),)
        yield "actor", (actor_name(int(row["actor"])),)
        if final is not None:
            yield "success", (bool(row["terminated"] and ret > 0),)
            observation = self._named(stamp, schema.observation_names, final["observation"])
            yield "final_observation", observation

    def _named(self, stamp: int, names: tuple[str, ...], values: np.ndarray) -> tuple:
        """Fields of a JointState."""
        time = self._types.types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))
        header = self._types.types["std_msgs/msg/Header"](time, "")
        return header, list(names), values.astype(np.float64), np.empty(0), np.empty(0)

    def _add(self, channel: int, kind: str, stamp: int, fields: tuple) -> None:
        data = self._types.serialize_cdr(self._types.types[kind](*fields), kind)
        self._writer.add_message(channel, stamp, bytes(data), stamp)


class _Return:
    """Sum of the rewards of the episode that runs."""

    def __init__(self) -> None:
        self.ret, self._number = 0.0, -1

    def add(self, row: np.void) -> None:
        if row["episode"] != self._number:
            self.ret, self._number = 0.0, int(row["episode"])
        self.ret += float(row["reward"])
