"""A policy on trial: who acts when, what comes of it, and how often that is wrong."""

import numpy as np
import pytest
from bundles import make_actor, make_bundle

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.policy.canary import Canary, Trial, Verdict
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.config_gate import Canary as Settings

TRIALS = 1000
SETTINGS = Settings(
    share=0.25, worse_by=0.3, false_promotion=0.1, false_withdrawal=0.1, episodes=30
)


@pytest.fixture
def runtime(tmp_path, config: RobotConfig) -> PolicyRuntime:
    """Version 0 acts; 1 to 9 can be loaded."""
    for version in range(10):
        make_bundle(tmp_path / str(version), config, make_actor(version), version=version)
    runtime = PolicyRuntime(config)
    runtime.swap(runtime.load(tmp_path / "0"))
    return runtime


@pytest.fixture
def canary(runtime) -> Canary:
    return Canary(runtime, SETTINGS, seed=1)


def verdict_of(candidate: float, incumbent: float, seed: int, settings: Settings = SETTINGS):
    """Of a trial of two policies with these chances of success."""
    rng = np.random.default_rng(seed)
    trial, verdict = Trial(settings, rng), None
    while verdict is None:
        verdict = trial.ended(bool(rng.random() < (candidate if trial.draw() else incumbent)))
    return verdict


def play(canary: Canary, runtime, outcomes, episodes: int = 1000):
    """Episodes until a trial is over; `outcomes` by version."""
    for _ in range(episodes):
        canary.episode_begins()
        if ended := canary.episode_ended(outcomes[runtime.version]):
            return ended
    return None


@pytest.mark.slow
@pytest.mark.parametrize("incumbent", [0.4, 0.7, 1.0])
def test_of_a_thousand_trials_no_more_are_decided_wrongly_than_is_stated(incumbent):
    worse, no_worse = incumbent - SETTINGS.worse_by, incumbent
    promoted = [verdict_of(worse, incumbent, i) for i in range(TRIALS)].count(Verdict.PROMOTED)
    withdrawn = [verdict_of(no_worse, incumbent, i) for i in range(TRIALS)].count(Verdict.WITHDRAWN)
    assert promoted <= SETTINGS.false_promotion * TRIALS
    assert withdrawn <= SETTINGS.false_withdrawal * TRIALS


def test_what_is_clear_is_decided_soon():
    better = [verdict_of(1.0, 0.4, seed) for seed in range(100)]
    useless = [verdict_of(0.0, 0.8, seed) for seed in range(100)]
    assert better.count(Verdict.PROMOTED) > 90
    assert useless.count(Verdict.WITHDRAWN) > 95


def test_a_drift_that_meets_both_decides_nothing():
    """The cell gets worse for everybody in the middle of every trial."""
    verdicts = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        trial, verdict, episodes = Trial(SETTINGS, rng), None, 0
        while verdict is None:
            trial.draw()
            verdict = trial.ended(bool(rng.random() < (0.9 if episodes < 40 else 0.2)))
            episodes += 1
        verdicts.append(verdict)
    assert verdicts.count(Verdict.WITHDRAWN) <= SETTINGS.false_withdrawal * 200


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
def test_the_candidate_has_its_share_at_places_that_nobody_knows(share):
    settings = SETTINGS.model_copy(update={"share": share})
    trial = Trial(settings, np.random.default_rng(0))
    turns = []
    for _ in range(100 * settings.block):
        turns.append(trial.draw())
        trial.ended(None)
    blocks = np.reshape(turns, (100, settings.block))
    assert (blocks.sum(1) == 1).all()
    assert (blocks.sum(0) > 0).all()


def test_episodes_that_do_not_count_say_nothing_and_do_not_prolong_it():
    trial = Trial(SETTINGS, np.random.default_rng(0))
    for _ in range(SETTINGS.episodes * SETTINGS.block - 1):
        assert trial.ended(None if trial.draw() else True) is None
    trial.draw()
    assert trial.ended(None) is Verdict.UNDECIDED
    assert trial.outcomes[True] == []
    assert trial.bounds == (-1.0, 1.0)


def test_policies_change_between_episodes_and_the_better_one_stays(canary, runtime, tmp_path):
    candidate = runtime.load(tmp_path / "3")
    canary.offer(candidate)
    assert runtime.version == 0  # not before an episode begins
    assert canary.episode_begins()
    assert not canary.episode_begins()  # a trial begins once
    ended = play(canary, runtime, {0: False, 3: True})
    assert (ended.verdict, ended.candidate) == (Verdict.PROMOTED, candidate)
    assert canary.trial is None
    for _ in range(5):  # it is not written down yet
        canary.episode_begins()
        assert runtime.version == 0
    assert canary.promote(candidate, written=True)
    assert runtime.version == 0
    canary.episode_begins()
    assert runtime.loaded == candidate
    assert "it succeeded in" in ended.why


def test_what_could_not_be_written_down_is_not_promoted(canary, runtime, tmp_path):
    canary.offer(runtime.load(tmp_path / "3"))
    ended = play(canary, runtime, {0: False, 3: True})
    assert not canary.promote(ended.candidate, written=False)
    canary.episode_begins()
    assert runtime.version == 0
    assert not canary.promote(ended.candidate, written=True)  # too late


def test_a_worse_one_is_withdrawn_at_once_and_the_newest_that_waits_is_next(
    canary, runtime, tmp_path
):
    for version in (3, 4, 5):
        canary.offer(runtime.load(tmp_path / str(version)))
        canary.episode_begins()
        canary.episode_ended(None)
    ended = play(canary, runtime, {0: True, 3: False})
    assert (ended.verdict, ended.candidate[0].manifest.version) == (Verdict.WITHDRAWN, 3)
    assert runtime.version == 0
    assert canary.newest == 5
    assert canary.episode_begins()
    assert canary.candidate[0].manifest.version == 5  # 4 was passed over


def test_as_good_as_each_other_is_undecided_and_the_incumbent_stays(canary, runtime, tmp_path):
    settings = SETTINGS.model_copy(update={"episodes": 3})
    canary = Canary(runtime, settings)
    canary.offer(runtime.load(tmp_path / "3"))
    ended = play(canary, runtime, {0: True, 3: True})
    assert ended.verdict is Verdict.UNDECIDED
    assert runtime.version == 0
    assert "within 3 episodes" in ended.why


def test_when_an_earlier_policy_acts_again_nobody_is_tried_any_more(canary, runtime, tmp_path):
    earlier = runtime.loaded
    runtime.swap(runtime.load(tmp_path / "2"))
    canary.offer(runtime.load(tmp_path / "3"))
    canary.episode_begins()
    canary.offer(runtime.load(tmp_path / "4"))
    runtime.swap(earlier)
    ended = canary.drop("the operator says so")
    assert (ended.verdict, ended.why) == (Verdict.WITHDRAWN, "the operator says so")
    for _ in range(10):
        assert not canary.episode_begins()
        assert runtime.loaded == earlier


def test_where_nobody_is_on_trial_others_may_swap(canary, runtime, tmp_path):
    runtime.swap(runtime.load(tmp_path / "1"))
    assert not canary.episode_begins()
    assert runtime.version == canary.newest == 1
    canary.install(runtime.load(tmp_path / "2"))
    assert runtime.version == 1
    assert not canary.episode_begins()
    assert runtime.version == 2


@pytest.mark.parametrize(
    ("field", "value"), [("share", 0.6), ("share", -0.1), ("worse_by", 0.0), ("episodes", 0)]
)
def test_settings_that_make_no_trial_are_refused(config, field, value):
    with pytest.raises(ConfigError, match=f"{field} = {value}"):
        parse(Settings, {field: value}, "gate.canary")
