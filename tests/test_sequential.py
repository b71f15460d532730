"""The sequential test keeps its promise on false alarms and finds what there is to find."""

from collections import Counter

import numpy as np
import pytest

from porl_ros.sequential import (
    MeanTest,
    WorseThan,
    chances,
    evidence_above,
    mean_bounds,
    success_bounds,
)


def first_alarm(test: WorseThan, outcomes) -> int | None:
    """Number of the outcome that raised the alarm."""
    return next((i for i, outcome in enumerate(outcomes) if test.observe(outcome)), None)


@pytest.mark.parametrize("any_time", [True, False])
@pytest.mark.parametrize("reference", [0.1, 0.5, 0.9])
def test_false_alarms_are_as_rare_as_stated(reference, any_time):
    rng = np.random.default_rng(0)
    runs, alpha = 300, 0.1
    alarms = sum(
        first_alarm(WorseThan(reference, alpha, any_time), rng.random(200) < reference) is not None
        for _ in range(runs)
    )
    assert alarms <= alpha * runs + 2 * np.sqrt(runs * alpha * (1 - alpha))


def test_the_evidence_can_be_expected_to_stay_as_it_is_at_the_reference():
    """The two outcomes, weighed by their chances, leave it where it was: an exact martingale."""
    rng = np.random.default_rng(1)
    test = WorseThan(0.4, 0.01)
    for outcome in rng.random(50) < 0.4:
        branches = []
        for branch in (True, False):
            copy = WorseThan(0.4, 0.01)
            copy.__dict__.update({**test.__dict__, "_running": test._running.copy()})
            copy.observe(branch)
            branches.append(copy.evidence)
        assert 0.4 * branches[0] + 0.6 * branches[1] == pytest.approx(test.evidence, rel=1e-9)
        test.observe(outcome)


def test_a_collapse_is_found_after_as_many_failures_as_it_says():
    for good in (0, 5, 300):
        test = WorseThan(0.5, 0.05)
        assert first_alarm(test, [True] * good) is None
        expected = test.failures_to_alarm()
        assert first_alarm(test, [False] * 1000) == expected - 1
        assert expected < 40


def test_good_episodes_before_a_fall_do_not_hide_it():
    """Without looking for a change at any time, 300 successes would hide a collapse for long."""
    patient, alert = WorseThan(0.5, 0.05, change_at_any_time=False), WorseThan(0.5, 0.05)
    for _ in range(300):
        patient.observe(True)
        alert.observe(True)
    assert alert.failures_to_alarm() < 40 < patient.failures_to_alarm()


def test_a_partial_fall_is_found_too():
    rng = np.random.default_rng(2)
    found = [first_alarm(WorseThan(0.8, 0.05), rng.random(400) < 0.4) for _ in range(50)]
    assert None not in found
    assert np.median(found) < 40


def test_a_reference_of_0_is_never_undercut():
    assert first_alarm(WorseThan(0.0, 0.1), [False] * 2000) is None


@pytest.mark.parametrize(("reference", "alpha"), [(-0.1, 0.1), (1.0, 0.1), (0.5, 0.0), (0.5, 1.0)])
def test_impossible_settings_are_refused(reference, alpha):
    with pytest.raises(ValueError, match="must be"):
        WorseThan(reference, alpha)


def test_bounds_hold_as_often_as_stated():
    rng = np.random.default_rng(3)
    for p in (0.05, 0.3, 0.9):
        successes = rng.binomial(38, p, 2000)
        low = np.array([success_bounds(int(k), 38, 0.05)[0] for k in successes])
        high = np.array([success_bounds(int(k), 38, 0.05)[1] for k in successes])
        assert np.mean(low > p) <= 0.05 + 0.015
        assert np.mean(high < p) <= 0.05 + 0.015
    assert success_bounds(0, 0, 0.05) == (0.0, 1.0)
    assert success_bounds(0, 5, 0.05)[0] == 0.0
    assert success_bounds(5, 5, 0.05)[1] == 1.0


class Walks:
    """A thousand policies, each an independent stream of successes, judged by one rule: how many
    were admitted and how many turned away. Evidence depends on counts only and is tabulated."""

    def __init__(self, test: MeanTest, success: np.ndarray, episodes: int, seed: int):
        won = np.random.default_rng(seed).random((len(success), episodes)) < success[:, None]
        wins, n = won.cumsum(1), np.arange(1, episodes + 1)
        up, down = np.zeros((2, episodes, episodes + 1))
        for i, k in zip(*np.nonzero(np.arange(episodes + 1) <= n[:, None]), strict=True):
            up[i, k] = evidence_above({1.0: k, 0.0: n[i] - k}, test.low)
            down[i, k] = evidence_above({0.0: k, 1.0: n[i] - k}, 1.0 - test.high)
        yes = (up[n - 1, wins] >= -np.log(test.false_yes)) & (n >= test.least)
        no = down[n - 1, wins] >= -np.log(test.false_no)
        first_yes, first_no = (np.where(hit.any(1), hit.argmax(1), episodes) for hit in (yes, no))
        self.admitted = first_yes < first_no
        self.refused = first_no < first_yes
        self.first = np.minimum(first_yes, first_no) + 1
        self.outcomes = won


@pytest.mark.parametrize("least", [1, 40])
def test_of_a_thousand_policies_no_more_are_misjudged_than_stated(least):
    test, policies = MeanTest(0.8, 0.95, 0.05, 0.1, least), 1000
    rng = np.random.default_rng(least)
    slack = 2 * np.sqrt(policies * 0.1 * 0.9)
    # Those exactly at the limits are the hardest; the others are spread on their side of it.
    for short in (np.full(policies, 0.8), rng.uniform(0.0, 0.8, policies)):
        assert Walks(test, short, 150, 7).admitted.sum() <= 0.05 * policies
    for good in (np.full(policies, 0.95), rng.uniform(0.95, 1.0, policies)):
        walks = Walks(test, good, 150, 8)
        assert walks.refused.sum() <= 0.1 * policies
        assert (~walks.admitted).sum() <= 0.1 * policies + slack


def test_the_test_decides_as_the_table_says():
    test = MeanTest(0.8, 0.95, 0.05, 0.1, 20)
    walks = Walks(test, np.array([0.3, 0.7, 0.9, 0.95, 1.0]), 100, 9)
    for i, outcomes in enumerate(walks.outcomes):
        test = MeanTest(0.8, 0.95, 0.05, 0.1, 20)
        for outcome in outcomes:
            test.observe(float(outcome))
        assert test.verdict == (True if walks.admitted[i] else False if walks.refused[i] else None)
        assert test.verdict is None or test.outcomes.total() == walks.first[i]
        low, high = test.bounds
        assert (low >= 0.8, high <= 0.95) == (test.verdict is True, test.verdict is False)


def test_the_chances_are_those_that_many_policies_meet_with():
    test = MeanTest(0.7, 0.85, 0.05, 0.1, 20)
    for success in (0.7, 0.8, 0.85):
        walks = Walks(test, np.full(4000, success), 80, 10)
        expected = chances(test, success, 80)
        assert np.allclose((walks.admitted.mean(), walks.refused.mean()), expected, atol=0.025)


def test_hopeless_and_excellent_policies_end_early():
    assert Walks(MeanTest(0.8, 0.95, 0.05, 0.1), np.full(200, 0.2), 150, 1).first.max() <= 15
    assert np.median(Walks(MeanTest(0.8, 0.95, 0.05, 0.1), np.full(200, 1.0), 150, 2).first) <= 25


def test_values_between_0_and_1_are_judged_as_well():
    """Differences of pairs, as the gate compares two policies: -1, 0 or 1, brought to 0 to 1."""
    rng, wrong_yes, wrong_no = np.random.default_rng(4), 0, 0
    for _ in range(100):
        worse, equal = MeanTest(0.45, 0.5, 0.05, 0.1), MeanTest(0.45, 0.5, 0.05, 0.1)
        for _ in range(150):  # worse by exactly 0.1; and as good
            worse.observe(float(rng.choice([0.0, 0.5, 1.0], p=[0.2, 0.7, 0.1])))
            equal.observe(float(rng.choice([0.0, 0.5, 1.0], p=[0.1, 0.8, 0.1])))
        wrong_yes += worse.verdict is True
        wrong_no += equal.verdict is False
    assert wrong_yes <= 5
    assert wrong_no <= 10


def test_bounds_of_a_mean_hold_at_all_times_together():
    rng, missed = np.random.default_rng(5), 0
    for _ in range(100):
        counts = Counter()
        wrong = False
        for n, outcome in enumerate(rng.random(120) < 0.6, 1):
            counts[float(outcome)] += 1
            if n % 5 == 0:
                low, high = mean_bounds(counts, 0.05)
                assert 0.0 <= low <= high <= 1.0
                wrong |= not low <= 0.6 <= high
        missed += wrong
    assert missed <= 10
    assert mean_bounds(Counter(), 0.05) == (0.0, 1.0)


@pytest.mark.parametrize(
    "wrong", [(0.9, 0.8, 0.1, 0.1), (0.0, 0.5, 0.1, 0.1), (0.5, 0.9, 0.0, 0.1)]
)
def test_an_impossible_test_of_a_mean_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        MeanTest(*wrong)
