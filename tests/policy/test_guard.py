"""The guard sends a policy back that became worse than its base, and leaves a healthy one alone."""

import numpy as np
import pytest

from porl_ros.policy.guard import WINDOW, NoRegretGuard


def with_base(successes: int, episodes: int, alpha: float = 0.1) -> NoRegretGuard:
    guard = NoRegretGuard(alpha)
    for i in range(episodes):
        assert guard.observe(0, i < successes) is None
    return guard


def run(guard: NoRegretGuard, outcomes, first_version: int = 1):
    """Feed an episode a version; the number of episodes until it sent back, and the verdict."""
    for count, outcome in enumerate(outcomes, 1):
        if verdict := guard.observe(first_version + count - 1, bool(outcome)):
            return count, verdict
    return None


def test_a_collapse_goes_back_to_the_base_within_the_stated_number_of_episodes():
    guard = with_base(10, 38)
    assert guard.failures_to_return is None
    guard.observe(1, False)
    stated = guard.failures_to_return + 1
    count, verdict = run(with_base(10, 38), [False] * 200)
    assert count == stated <= 30
    assert verdict.version == 0
    assert f"0 of the last {WINDOW}" in verdict.reason
    assert "10 of 38" in verdict.reason


def test_what_was_better_than_the_base_is_gone_back_to_but_not_twice():
    guard = with_base(10, 38)
    assert run(guard, [True] * 30) is None
    assert guard.best in range(1, 31)
    best = guard.best
    _, verdict = run(guard, [False] * 200, first_version=31)
    assert verdict.version == best
    for _ in range(200):  # that one fails, too
        if verdict := guard.observe(best, False):
            break
    assert verdict.version == 0


def test_at_hand_is_what_it_may_send_back_to():
    guard = with_base(10, 38)
    run(guard, [True] * 60)
    assert {0, guard.best} <= guard.keepers
    assert len(guard.keepers) <= WINDOW + 2


@pytest.mark.parametrize("base", [0.1, 0.3, 0.6, 0.9])
def test_a_healthy_learner_is_left_alone(base):
    """250 runs of 200 episodes that are exactly as good as the base, the least that counts as
    healthy; base and learner are both random."""
    rng = np.random.default_rng(int(100 * base))
    alpha, alarms = 0.1, 0
    for _ in range(250):
        guard = with_base(int(rng.binomial(38, base)), 38, alpha)
        alarms += run(guard, rng.random(200) < base) is not None
    assert alarms <= alpha * 250


@pytest.mark.slow
def test_the_stated_rate_of_false_alarms_holds_over_1000_long_runs():
    rng = np.random.default_rng(7)
    alarms = 0
    for i in range(1000):
        base = (0.1, 0.3, 0.6, 0.9)[i % 4]
        guard = with_base(int(rng.binomial(38, base)), 38, 0.1)
        alarms += run(guard, rng.random(500) < base) is not None
    assert alarms <= 100


def test_without_episodes_of_the_base_there_is_nothing_to_regret():
    guard = NoRegretGuard()
    guard.observe(0, False)
    assert run(guard, [False] * 500) is None


def test_an_impossible_alpha_is_refused():
    with pytest.raises(ValueError, match="alpha: 1.5"):
        NoRegretGuard(1.5)
