"""The sequential test keeps its promise on false alarms and finds what there is to find."""

import numpy as np
import pytest

from porl_ros.sequential import WorseThan, success_bounds


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
