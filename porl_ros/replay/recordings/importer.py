"""From a recording to rows: steps of the controller, driven by what was recorded."""

import itertools
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat

from porl_ros.configfile import StrictModel
from porl_ros.replay.recordings.followed import FollowedEpisode
from porl_ros.replay.recordings.recording import Recording
from porl_ros.replay.recordings.timeline import Span, Topics, find_spans, find_steps, look_through
from porl_ros.replay.schema import Actor
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.robot.messages import MessageError, nanoseconds, to_sample
from porl_ros.robot.observation import Sample, Samples

CONTRACT, ALWAYS, NEVER = "contract", "always", "never"
UNEXPLAINED = 0.1  # actions; by more, what was sent was not what an action can do


class ImportSettings(StrictModel):
    """How a recording is to be understood."""

    namespace: str = Field("", description="Where the robot's topics are.")
    actor: Actor = Field(Actor.HUMAN, description="Who acted.")
    success: str = Field(
        CONTRACT,
        description="Which episodes succeed: by the contract's function, always, never, or a "
        "topic with a flag (std_msgs/Bool) at the end of each episode.",
    )
    episode_gap: PositiveFloat | None = Field(
        None, description="A pause of more than this in what is sent ends an episode [s]."
    )

    only_successful: bool = Field(False, description="Leave out episodes without success.")

    @property
    def success_topic(self) -> str | None:
        return None if self.success in (CONTRACT, ALWAYS, NEVER) else self.success


@dataclass
class Imported:
    """What became of a recording."""

    run: str = ""
    rows: int = 0
    episodes: int = 0
    successes: int = 0
    commanded: bool = True  # actions are what was sent; otherwise, how the robot moved
    unexplained: int = 0  # rows whose action falls short of what was sent
    skipped: Counter[str] = field(default_factory=Counter)  # steps, by why
    refused: Counter[str] = field(default_factory=Counter)  # messages, by what is wrong with them


class Importer:
    """Two passes over a recording: when things happened, and then what was seen and done."""

    def __init__(
        self, recording: Recording, config: RobotConfig, topics: Topics, settings: ImportSettings
    ):
        self._recording, self._config = recording, config
        self._topics, self._settings = topics, settings
        self._timeline = look_through(recording, config, topics)
        self._sent = np.array(self._timeline.command_times, np.int64)
        self._controller = Controller(config)
        self._episode = -1
        self.found = Imported(commanded=bool(len(self._sent)), refused=self._timeline.refused)

    def reasons(self) -> str:
        """Why nothing came of it, as far as it is known."""
        told = [f"{text} ({count} messages)" for text, count in self.found.refused.most_common(3)]
        told += [f"{text} ({count} steps)" for text, count in self.found.skipped.most_common(3)]
        return "; ".join(told) or "it is shorter than a step"

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, as the keywords of `log`, an episode after the other."""
        for _, rows in itertools.groupby(self._all_rows(), lambda row: row["episode"]):
            episode = list(rows)
            if episode[-1]["terminated"] or not self._settings.only_successful:
                self.found.episodes += 1
                self.found.successes += episode[-1]["terminated"]
                yield from episode
            else:
                self.found.skipped["in an episode without success"] += len(episode)

    def _all_rows(self) -> Iterator[dict[str, Any]]:
        period, gap = self._config.period_ns, self._settings.episode_gap
        wait = self._settings.success == CONTRACT
        spans = find_spans(self._timeline, period, gap and round(gap * 1e9), wait)
        anchors = self._timeline.anchors
        steps = [find_steps(span, anchors, period) for span in spans]
        messages = self._recording.messages(self._topics.sources)
        samples = (self._sampled(topic, message) for topic, message in messages)
        snapshots = take_snapshots(samples, [time for times in steps for time in times])
        for span, times in zip(spans, steps, strict=True):
            yield from self._rows_of(span, times[-1], itertools.islice(snapshots, len(times)))

    def _sampled(self, topic: str, message: object | None) -> tuple[str, Sample | None]:
        """The name of the source, and what it says; None for what is refused."""
        source = self._topics.sources[topic]
        if message is None or nanoseconds(message.header.stamp) <= 0:
            return source.name, None  # counted in the first pass
        try:
            return source.name, to_sample(source, message)
        except MessageError as error:
            self.found.refused[str(error)] += 1
            return source.name, None

    def _rows_of(
        self, span: Span, last: int, snapshots: Iterator[tuple[int, Samples]]
    ) -> Iterator[dict[str, Any]]:
        """The rows of a span: of one episode, or of more where it is cut."""
        episode, before = None, 0
        for time, samples in snapshots:
            if late := _late(self._config, samples, time):
                self.found.skipped[late] += 1
                if episode:
                    yield from episode.end()
                episode = None
            elif episode is None:
                episode = self._begin(time, samples, span)
            else:
                command = self._command(before, time, samples)
                yield from episode.step(command, samples, self._success(span, time == last))
                self.found.unexplained += episode.unexplained > UNEXPLAINED
                if episode.over:
                    yield from episode.end()
                    if episode.succeeded:
                        break
                    episode = self._begin(time, samples, span) if time < last else None
            before = time
        if episode:
            yield from episode.end()
        if left := sum(1 for _ in snapshots):
            self.found.skipped["after the success"] += left

    def _begin(self, time: int, samples: Samples, span: Span) -> FollowedEpisode | None:
        if self.found.commanded and not ((self._sent >= time) & (self._sent <= span.end)).any():
            self.found.skipped["nothing more was sent"] += 1
            return None
        self._episode += 1
        return FollowedEpisode(self._controller, self._episode, samples, self._settings.actor)

    def _command(self, since: int, until: int, samples: Samples) -> np.ndarray | None:
        """What was sent last from one step to the next, None if nothing was."""
        if not self.found.commanded:
            return self._controller.joints(samples)
        newest = int(np.searchsorted(self._sent, until)) - 1
        sent = newest >= 0 and self._sent[newest] >= since
        return self._timeline.commands[newest] if sent else None

    def _success(self, span: Span, last: bool) -> bool | None:
        """Whether a step succeeds; None leaves it to the contract."""
        if self._settings.success == CONTRACT:
            return None
        return last and (self._settings.success == ALWAYS or bool(span.success))


def take_snapshots(
    samples: Iterator[tuple[str, Sample | None]], times: list[int]
) -> Iterator[tuple[int, Samples]]:
    """The newest sample of each source that had come by each of these times (ns, ascending)."""
    latest: Samples = {}
    waiting = deque(times)
    for name, sample in samples:
        if sample is None:
            continue
        while waiting and sample.stamp > waiting[0]:
            yield waiting.popleft(), latest
        if name not in latest or sample.stamp >= latest[name].stamp:
            latest = latest | {name: sample}
    for time in waiting:
        yield time, latest


def _late(config: RobotConfig, samples: Samples, time: int) -> str:
    """Which source a robot would not act upon at that time; empty if it would."""
    for source in config.observation.sources:
        if source.name not in samples:
            return f"{source.topic}: nothing came yet"
        if time - samples[source.name].stamp > source.max_age * 1e9:
            return f"{source.topic}: older than {source.max_age} s"
    return ""
