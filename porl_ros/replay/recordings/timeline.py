"""When things happened in a recording: what was sent, and where episodes begin and end.

Time is that of the stamps in the messages, because what a recorder notes is another clock when a
simulation is recorded. A message without a stamp of its own (an array of joint positions, a flag)
counts as sent at the newest stamp that was recorded before it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from porl_ros.replay.recordings.recording import Recording, RecordingError
from porl_ros.robot.config import RobotConfig, Source
from porl_ros.robot.messages import MessageError, from_command, nanoseconds

MAX_BACK = 1_000_000_000  # ns by which a stamp may lie before another that was recorded earlier
NEAR = 0.25  # of a step: what comes that close to where a step should begin, begins it


class Topics(NamedTuple):
    """Where in a recording the parts of a contract are."""

    sources: dict[str, Source]  # by topic
    command: str | None  # None: nothing that was sent is recorded
    success: str | None  # a flag at the end of each episode; None: not asked for

    @property
    def all(self) -> list[str]:
        return [*self.sources, *filter(None, (self.command, self.success))]


class Span(NamedTuple):
    """An episode in time, ns, both ends included; `success` is None if no flag says it."""

    begin: int
    end: int
    success: bool | None = None


@dataclass
class Timeline:
    """What a first look at a recording finds; times in ns, ascending."""

    stamps: list[int] = field(default_factory=list)  # of the sources
    command_times: list[int] = field(default_factory=list)
    commands: list[np.ndarray] = field(default_factory=list)  # (n,) joint positions
    ends: list[tuple[int, bool]] = field(default_factory=list)  # of episodes, and their success
    refused: Counter[str] = field(default_factory=Counter)  # messages, by what is wrong with them

    @property
    def anchors(self) -> np.ndarray:
        """What steps begin with, if it can be: what was sent, or else what was measured."""
        return np.unique(np.array(self.command_times or self.stamps, np.int64))


def find_topics(
    recording: Recording, config: RobotConfig, namespace: str, success: str | None
) -> Topics:
    """Look up what the contract names; raises RecordingError that lists what there is."""

    def find(name: str, kind: str) -> str:
        topic = name if name.startswith("/") else f"/{namespace.strip('/')}/{name}"
        topic = topic.replace("//", "/")
        found = recording.topics.get(topic)
        if found is None:
            have = ", ".join(sorted(recording.topics)) or "none"
            raise RecordingError(
                f"{recording.path}: has no topic {topic}; its topics are {have}; --namespace says "
                "where those of the robot are"
            )
        if found.kind != kind:
            raise RecordingError(
                f"{recording.path}: {topic} carries {found.kind}, the robot config says {kind}"
            )
        return topic

    sources = {find(source.topic, source.type): source for source in config.observation.sources}
    command = config.action.command
    sent = any(topic.endswith(f"/{command.topic.strip('/')}") for topic in recording.topics)
    return Topics(
        sources,
        find(command.topic, command.type) if sent else None,
        find(success, "std_msgs/msg/Bool") if success else None,
    )


def look_through(recording: Recording, config: RobotConfig, topics: Topics) -> Timeline:
    """The first pass: everything but what the sources say. Raises RecordingError."""
    found, now = Timeline(), 0
    for topic, message in recording.messages(topics.all):
        if message is None:
            found.refused[f"{topic}: cannot be decoded"] += 1
        elif topic in topics.sources:
            stamp = nanoseconds(message.header.stamp)
            if stamp <= 0:
                found.refused[f"{topic}: carries no stamp"] += 1
                continue
            if stamp < now - MAX_BACK:
                raise RecordingError(
                    f"{recording.path}: the clock goes back by {(now - stamp) / 1e9:.1f} s on "
                    f"{topic}; record again, or split the recording there"
                )
            now = max(now, stamp)
            found.stamps.append(now)
        elif not now:
            found.refused[f"{topic}: came before any sample"] += 1
        elif topic == topics.command:
            _add_command(found, config, message, now)
        else:
            found.ends.append((now, bool(message.data)))
    return found


def _add_command(found: Timeline, config: RobotConfig, message: object, now: int) -> None:
    try:
        command, stamp = from_command(config, message)
    except MessageError as error:
        found.refused[str(error)] += 1
        return
    known = stamp > 0 and abs(stamp - now) < MAX_BACK
    time = stamp if known else now
    found.command_times.append(max([time, *found.command_times[-1:]]))
    found.commands.append(command)


def find_spans(found: Timeline, period: int, gap: int | None, wait: bool) -> list[Span]:
    """The episodes, by flags at their ends and by gaps of more than `gap` ns in what is sent.

    `wait`: success may come a while after the last command; otherwise an episode that no flag
    ends is over one `period` after it.
    """
    anchors, spans, after = found.anchors, [], 0
    ends = [*found.ends, (max(found.stamps, default=0), None)]
    for end, success in ends:
        own = anchors[(anchors > after) & (anchors <= end)]
        after = end
        parts = np.split(own, np.flatnonzero(np.diff(own) > gap) + 1) if gap else [own]
        for number, part in enumerate(parts):
            if not len(part):
                continue
            last = number == len(parts) - 1
            if last and success is not None:
                spans.append(Span(int(part[0]), end, success))
                continue
            patience = (gap or end) if wait else period
            limit = end if last else int(parts[number + 1][0]) - 1
            spans.append(Span(int(part[0]), min(int(part[-1]) + patience, limit)))
    return [span for span in spans if span.end > span.begin]


def find_steps(span: Span, anchors: np.ndarray, period: int) -> list[int]:
    """When the steps of an episode begin, and the last one ends: about a `period` apart, at what
    was sent where it was sent at about that rate."""
    steps = [span.begin]
    while steps[-1] + (1 - NEAR) * period <= span.end:
        wanted = steps[-1] + period
        at = int(np.searchsorted(anchors, wanted))
        near = anchors[max(0, at - 1) : at + 1]
        near = near[np.abs(near - wanted) <= NEAR * period]
        following = int(near[np.argmin(np.abs(near - wanted))]) if len(near) else wanted
        if following > span.end:
            break
        steps.append(following)
    return steps
