"""The number that everything is judged by: the same whoever computes it, with honest intervals."""

import numpy as np
import pytest
from scipy.stats import beta

from porl_ros.errors import ContractMismatch, PorlError
from porl_ros.policy.bundle import load_bundle
from porl_ros.policy.network import NumpyActor
from porl_ros.simulation.env import RobotEnv
from porl_ros.validation.evaluation import (
    EVALUATION_SEED,
    EpisodeOutcome,
    Evaluation,
    Evaluator,
    run_episode,
)

SEEDS = range(EVALUATION_SEED, EVALUATION_SEED + 6)


def outcomes(*lengths: int) -> Evaluation:
    """Episodes of these lengths; 60 steps are the horizon, hence a failure."""
    episodes = (EpisodeOutcome(i, steps < 60, steps) for i, steps in enumerate(lengths))
    return Evaluation(tuple(episodes))


def test_success_and_steps_of_the_successful():
    result = outcomes(10, 60, 20, 60)
    assert result.success == 0.5
    assert result.steps_to_success == 15.0
    assert np.isnan(outcomes(60).steps_to_success)


def test_intervals_hold_what_an_exact_method_says_nearly():
    for successes, n in ((0, 40), (13, 40), (40, 40), (95, 100)):
        low, high = outcomes(*([10] * successes + [60] * (n - successes))).interval
        assert 0.0 <= low <= successes / n <= high <= 1.0
        exact = (
            beta.ppf(0.025, successes, n - successes + 1) if successes else 0.0,
            beta.ppf(0.975, successes + 1, n - successes) if successes < n else 1.0,
        )
        assert np.allclose((low, high), exact, atol=0.03)


def test_more_episodes_tell_more():
    widths = []
    for n in (10, 40, 160):
        low, high = outcomes(*([10, 60] * (n // 2))).interval
        widths.append(high - low)
    assert widths[0] > 1.5 * widths[1] > 2.2 * widths[2]


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_number_of_workers(base, config):
    env, policy = RobotEnv(config), NumpyActor(load_bundle(base, config).actor)
    here = Evaluation(tuple(run_episode(env, policy, seed) for seed in SEEDS))
    seen = []
    for workers in (1, 2):
        with Evaluator("ur5e_insert", workers=workers) as evaluator:
            assert evaluator.evaluate(base, SEEDS) == here
            seen.append(evaluator.evaluate_all([base, base], SEEDS, progress=seen.append))
    assert seen[-1] == [here, here]
    assert [n for n in seen if isinstance(n, int)] == [6, 12, 3, 6, 9, 12]


@pytest.mark.slow
def test_the_clone_works_where_it_was_made_and_mostly_fails_in_the_other_cell(base):
    seeds = range(EVALUATION_SEED, EVALUATION_SEED + 20)
    success = {}
    for cell in ("calibrated", "shifted"):
        with Evaluator("ur5e_insert", cell) as evaluator:
            success[cell] = evaluator.evaluate(base, seeds).success
    assert success["calibrated"] >= 0.8
    assert success["shifted"] <= 0.6


@pytest.mark.slow
def test_what_cannot_be_evaluated_is_told_as_it_is(tmp_path, base):
    with pytest.raises(PorlError, match="ur55"):
        Evaluator("ur55")
    with Evaluator("ur5e_lift", workers=1) as evaluator:
        with pytest.raises(ContractMismatch, match="made for another contract"):
            evaluator.evaluate(base, SEEDS)
        with pytest.raises(PorlError, match="there is no policy bundle here"):
            evaluator.evaluate(tmp_path / "nowhere", SEEDS)
