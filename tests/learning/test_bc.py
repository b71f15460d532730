"""Behaviour cloning: what was shown is learned, and what was learned can be fine-tuned."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from porl_ros.errors import PorlError
from porl_ros.learning.bc import MIN_STD, BcConfig, clone
from porl_ros.policy.saturation import saturation

QUICK = BcConfig(epochs=60, hidden=(32,), learning_rate=3e-3, noise=0.0)
RNG = np.random.default_rng(0)
SEEN = (RNG.normal(size=(600, 4)) * [1.0, 5.0, 0.1, 1.0] + [0.0, 10.0, 0.0, -3.0]).astype(
    np.float32
)
MAP = np.array([[0.3, 0.0], [0.0, 0.05], [0.5, 1.0], [0.1, -0.1]])
DONE = ((SEEN - SEEN.mean(0)) @ MAP).clip(-0.9, 0.9).astype(np.float32)


def answers(actor, observations) -> np.ndarray:
    with torch.no_grad():
        return actor(torch.from_numpy(observations)).numpy()


def test_a_linear_map_is_learned():
    losses = []
    actor = clone(
        SEEN[:500], DONE[:500], QUICK, 0, lambda epoch, loss: losses.append((epoch, loss))
    )
    assert np.square(answers(actor, SEEN[500:]) - DONE[500:]).mean() < 2e-3
    assert [epoch for epoch, _ in losses] == list(range(QUICK.epochs))
    assert losses[-1][1] < losses[0][1] / 10


def test_demonstrations_at_the_border_do_not_saturate_the_clone():
    border = (3 * (SEEN - SEEN.mean(0))[:, [0, 3]]).clip(-1, 1)
    assert (np.abs(border) == 1).mean() > 0.7
    settings = QUICK.model_copy(update={"hidden": (64, 64)})
    inside = clone(SEEN, border, settings, 0)
    assert saturation(inside, SEEN).max() < 0.1
    assert np.abs(answers(inside, SEEN) - border).mean() < 0.15  # it has learned what was shown
    on_it = clone(SEEN, border, settings.model_copy(update={"target_limit": 1.0}), 0)
    assert saturation(on_it, SEEN).min() > 0.25  # which the limit is there to prevent


def test_the_normalisation_is_of_the_data_and_never_blows_up():
    actor = clone(SEEN, DONE, BcConfig(epochs=1, hidden=(4,)), 0)
    assert np.allclose(actor.mean, SEEN.mean(0), atol=1e-4)
    assert np.allclose(actor.std, np.maximum(SEEN.std(0), MIN_STD), atol=1e-4)
    assert float(actor.std[2]) == pytest.approx(MIN_STD)


def test_the_same_seed_gives_the_same_clone():
    config = BcConfig(epochs=2, hidden=(8,), noise=0.1)
    first, again, other = (clone(SEEN, DONE, config, seed) for seed in (1, 1, 2))
    assert np.array_equal(answers(first, SEEN), answers(again, SEEN))
    assert not np.array_equal(answers(first, SEEN), answers(other, SEEN))


def test_one_transition_is_enough_to_run():
    actor = clone(SEEN[:1], DONE[:1], BcConfig(epochs=1, hidden=(4,)), 0)
    assert np.isfinite(answers(actor, SEEN)).all()


NAN = np.where(np.arange(len(SEEN))[:, None] == 3, np.nan, SEEN)


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (SEEN[:0], DONE[:0], "0 observations and 0 actions: record demonstrations first"),
        (SEEN, DONE[:-1], "600 observations and 599 actions"),
        (NAN, DONE, "observations: 4 values are not finite"),
        (SEEN, np.full_like(DONE, np.inf), "actions: 1200 values are not finite"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(observations, actions, message):
    with pytest.raises(PorlError, match=message):
        clone(observations, actions, QUICK, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0}, {"noise": -1}, {"target_limit": 1.1},
     {"target_limit": 0}, {"hidden": (0,)}, {"epoch": 3}, {"learning_rate": float("nan")}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        BcConfig(**wrong)
