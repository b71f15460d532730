"""The table of the watchdogs, and what notices, with a clock of the test's own."""

from pathlib import Path

import numpy as np
import pytest

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.nodes.acting.watchdog import Watchdogs
from porl_ros.nodes.acting.watchdog_table import (
    WATCHDOGS,
    Reaction,
    Reason,
    WatchdogSettings,
    reactions,
    table,
)
from porl_ros.robot.observation import Sample

DOCS = Path(__file__).parents[2] / "docs" / "safety.md"
REACTIONS = reactions(WatchdogSettings())
PERIOD, START = 100_000_000, 10**12


class Bench:
    """Watchdogs, the samples they have let through, and a clock."""

    def __init__(self, config, **options):
        self.dogs = Watchdogs(config, REACTIONS, **options)
        self.sources = {source.name: source for source in config.observation.sources}
        self.samples, self.now, self.home = {}, START, np.array(config.kinematics.home)

    def hear(self, name: str, stamp: int, position: np.ndarray | None = None) -> bool:
        values = {"position": self.home if position is None else position}
        sample, before = Sample(stamp, values), self.samples.get(name)
        taken = self.dogs.received(self.sources[name], sample, before, self.now)
        if taken:
            self.samples[name] = sample
        return taken

    def all_speak(self) -> None:
        for name in self.sources:
            self.hear(name, self.now)

    def tick(self, after: int = PERIOD, heard: bool = True) -> Reason | None:
        self.now += after
        alarm = self.dogs.tick(self.now, self.samples, heard)
        return alarm.reason if alarm else None


@pytest.fixture
def bench(config) -> Bench:
    made = Bench(config)
    made.all_speak()
    assert made.tick(0) is None
    return made


def test_the_documentation_shows_the_table():
    lines = DOCS.read_text().splitlines()
    for line in table():
        assert line in lines, line


def test_every_reason_has_a_watchdog_that_allows_its_own_reaction():
    assert list(WATCHDOGS) == list(Reason)
    assert all(dog.reaction in dog.choices for dog in WATCHDOGS.values())
    assert {reason: dog.reaction for reason, dog in WATCHDOGS.items()} == REACTIONS


def test_a_reaction_that_a_watchdog_does_not_allow_is_refused():
    with pytest.raises(ConfigError, match="stale = 'continue': Input should be 'hold', 'ramp"):
        parse(WatchdogSettings, {"stale": "continue"}, "reactions")
    assert reactions(WatchdogSettings(stale="stop"))[Reason.STALE] is Reaction.STOP


def test_silence(config):
    bench = Bench(config)
    assert bench.tick() is Reason.MISSING
    bench.all_speak()
    assert bench.tick() is None
    assert bench.tick() is Reason.STALE  # 0.2 s; the arm's max_age is 0.15 s
    bench.hear("arm", bench.now)
    assert bench.tick() is None  # the socket may be a second old


def test_stamps_that_cannot_be(bench):
    newest = bench.samples["arm"].stamp
    assert not bench.hear("arm", newest)
    assert bench.tick(1) is Reason.REPEATED
    assert not bench.hear("arm", newest - 1)
    assert bench.tick(1) is Reason.OUT_OF_ORDER
    assert not bench.hear("arm", bench.now + 200_000_000)
    assert bench.tick(1) is Reason.AHEAD
    assert bench.samples["arm"].stamp == newest
    assert bench.hear("arm", bench.now)
    assert bench.tick(1) is None


def test_a_flood_between_two_ticks_is_one_event(bench):
    for _ in range(1000):
        bench.hear("arm", 5)
    assert bench.dogs.counts[Reason.OUT_OF_ORDER] == 1


def test_ticks(bench):
    for after, reason in ((149, None), (151, Reason.LATE_TICK), (-1000, Reason.CLOCK_BACK)):
        bench.now += after * 1_000_000
        bench.samples.clear()
        bench.all_speak()
        assert bench.tick(0) is reason
    bench.dogs.restart()  # deactivated for an hour
    bench.now += 3600 * 10**9
    bench.samples.clear()
    bench.all_speak()
    assert bench.tick(0) is None


def test_a_joint_that_is_where_it_cannot_be(bench, config):
    limit = config.safety.joints["shoulder_pan_joint"]
    for beyond, reason in ((0.9, None), (1.1, Reason.UNUSABLE)):
        position = bench.home.copy()
        position[0] = limit.upper + beyond * limit.deviation
        bench.hear("arm", bench.now + 1, position)
        assert bench.tick(1) is reason


def test_the_strongest_reaction_wins(bench):
    bench.hear("arm", 5)
    assert bench.tick(10**9, heard=False) is Reason.NO_SUBSCRIBER  # ramp down; stale: hold
    assert bench.dogs.counts[Reason.STALE] == bench.dogs.counts[Reason.OUT_OF_ORDER] == 1


def test_inference(bench):
    assert bench.dogs.inferred(0.049) is None
    assert bench.dogs.inferred(0.051).reason is Reason.SLOW_INFERENCE
