"""Notices what goes wrong between a robot and its policy. No ROS, no clock of its own.

What a watchdog notices is an `Alarm`; the control loop carries its reaction out.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from porl_ros.nodes.acting.plausible import Plausible
from porl_ros.nodes.acting.watchdog_table import Reaction, Reason
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Sample


class Alarm(NamedTuple):
    """Something is not as it must be: which watchdog says so, its reaction, words for people."""

    reason: Reason
    reaction: Reaction
    text: str


class Watchdogs:
    """Watches one control loop; called by its thread alone. Times are in ns of the ROS clock."""

    def __init__(
        self,
        config: RobotConfig,
        reactions: Mapping[Reason, Reaction],
        late_tick: float = 0.5,
        inference_deadline: float = 0.5,
    ):
        """`late_tick`, `inference_deadline`: in control periods, over 0."""
        self._plausible = Plausible(config)
        self.counts: Counter[Reason] = Counter()  # alarms so far; one a tick while it lasts
        self._sources = config.observation.sources
        self._max_age = {source.name: round(source.max_age * 1e9) for source in self._sources}
        self._period = config.period_ns
        self.tune(reactions, late_tick, inference_deadline)
        self._events: list[Alarm] = []  # since the last tick
        self._last_tick: int | None = None

    def tune(
        self, reactions: Mapping[Reason, Reaction], late_tick: float, inference_deadline: float
    ) -> None:
        """Other reactions and thresholds, from the next alarm on; see `__init__`."""
        self._reactions = reactions
        self._late = round((1.0 + late_tick) * self._period)
        self._deadline = inference_deadline * self._period / 1e9

    def alarm(self, reason: Reason, text: str) -> Alarm:
        """An alarm that the control loop itself has noticed."""
        self.counts[reason] += 1
        return Alarm(reason, self._reactions[reason], text)

    def restart(self) -> None:
        """Ticks begin anew; what was before says nothing about them."""
        self._events.clear()
        self._last_tick = None

    def received(self, source, sample: Sample, before: Sample | None, now: int) -> bool:
        """Whether to take a sample that has come after `before`; the next tick tells why not."""
        if sample.stamp - now > self._max_age[source.name]:
            ahead = (sample.stamp - now) / 1e9
            event = Reason.AHEAD, f"{source.topic}: stamped {ahead:.3g} s later than now"
        elif before is None or sample.stamp > before.stamp:
            return True
        elif sample.stamp == before.stamp:
            event = Reason.REPEATED, f"{source.topic}: the same stamp again"
        else:
            back = (before.stamp - sample.stamp) / 1e9
            event = Reason.OUT_OF_ORDER, f"{source.topic}: {back:.3g} s older than the one before"
        if not any(event[0] is alarm.reason for alarm in self._events):  # bounded between ticks
            self._events.append(self.alarm(*event))
        return False

    def tick(self, now: int, samples: Mapping[str, Sample], heard: bool) -> Alarm | None:
        """Look at everything; the alarm with the strongest reaction, if there is any."""
        alarms, self._events = self._events, []
        last, self._last_tick = self._last_tick, now
        if last is not None and now < last:
            back = (last - now) / 1e9
            alarms.append(self.alarm(Reason.CLOCK_BACK, f"the clock went back by {back:.3g} s"))
        elif last is not None and now - last > self._late:
            late = (now - last - self._period) / 1e9
            alarms.append(self.alarm(Reason.LATE_TICK, f"a control tick was {late:.3g} s late"))
        alarms += filter(None, (self._silent(s, samples.get(s.name), now) for s in self._sources))
        alarms += filter(None, [self.look(samples)])
        if not heard:
            alarms.append(self.alarm(Reason.NO_SUBSCRIBER, "nobody listens to the commands"))
        return max(alarms, key=_severity) if alarms else None

    def look(self, samples: Mapping[str, Sample]) -> Alarm | None:
        """Whether joints are measured where they cannot be."""
        fault = self._plausible.fault(samples)
        return self.alarm(Reason.UNUSABLE, fault) if fault else None

    def inferred(self, seconds: float) -> Alarm | None:
        """An action took so long to compute."""
        if seconds <= self._deadline:
            return None
        text = f"the policy took {seconds * 1e3:.3g} ms of {self._deadline * 1e3:.3g}"
        return self.alarm(Reason.SLOW_INFERENCE, text)

    def _silent(self, source, sample: Sample | None, now: int) -> Alarm | None:
        if sample is None:
            return self.alarm(Reason.MISSING, f"{source.topic}: nothing came yet")
        age = now - sample.stamp
        if age <= self._max_age[source.name]:
            return None
        text = f"{source.topic}: is {age / 1e9:.3g} s old, at most {source.max_age} s is acted on"
        return self.alarm(Reason.STALE, text)


_ORDER = list(Reaction)


def _severity(alarm: Alarm) -> int:
    return _ORDER.index(alarm.reaction)
