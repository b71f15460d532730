"""How firmly the policy is held, over the life of one that gets better, stays, or gets worse."""

import pytest

from porl_ros.learning.anchor import Anchor
from porl_ros.learning.config import PorlConfig

BASE = [True, False] * 10


def make_anchor(**settings) -> Anchor:
    """After the pre-sample stage of a base that succeeds half of the time."""
    small = {"anchor": 1.0, "anchor_final": 0.01, "anchor_window": 20, "anchor_half_life": 10}
    anchor = Anchor(PorlConfig(**small | settings))
    for success in BASE:
        anchor.hear(success, of_base=True)
    return anchor


def hear(anchor: Anchor, *outcomes: bool) -> None:
    for success in outcomes:
        anchor.hear(success, of_base=False)


def test_the_base_does_not_loosen_it():
    assert make_anchor().weight == 1.0


def test_it_halves_while_a_policy_is_as_good_as_the_base_and_has_a_floor():
    anchor = make_anchor()
    hear(anchor, *BASE)
    assert anchor.weight == pytest.approx(0.25)
    hear(anchor, *BASE * 10)
    assert anchor.weight == 0.01


def test_without_a_half_life_success_alone_loosens_it():
    anchor = make_anchor(anchor_half_life=0)
    hear(anchor, *BASE * 10)
    assert anchor.weight == 1.0
    hear(anchor, *[True] * 20)
    assert anchor.weight == pytest.approx(0.01)


def test_one_that_is_worse_is_held_again_four_times_as_fast():
    anchor = make_anchor()
    hear(anchor, *BASE)
    hear(anchor, False, False)  # 9 of 20, as chance has it
    assert anchor.weight == pytest.approx(0.5**2.2)
    hear(anchor, False, False)  # 8: no more than the tolerance
    assert anchor.weight == pytest.approx(0.5**2.4)
    hear(anchor, False, False)  # 7
    assert anchor.weight == pytest.approx(0.5**1.6)
    hear(anchor, *[False] * 18)
    assert anchor.weight == 1.0


def test_it_is_the_lower_of_patience_and_success():
    anchor = make_anchor(anchor_half_life=1000)
    hear(anchor, *[True] * 20)
    assert anchor.weight == pytest.approx(0.01)
    hear(anchor, *[False] * 5)  # 15 of 20: half of the way from 0.5 to 1
    assert anchor.weight == pytest.approx(0.01 + 0.99 / 4)


def test_whoever_goes_back_is_held_more_firmly_than_before():
    anchor = make_anchor()
    hear(anchor, *BASE * 3)
    assert anchor.weight == pytest.approx(0.5**6)
    anchor.forget()
    assert anchor.weight == 1.0  # until there are episodes
    hear(anchor, *BASE)
    assert anchor.weight == pytest.approx(0.5 ** (2 + 1.1))


def test_too_few_episodes_say_nothing():
    anchor = Anchor(PorlConfig(anchor=1.0, anchor_window=20, anchor_half_life=1))
    hear(anchor, *[False] * 9)
    assert anchor.weight == 1.0
    hear(anchor, False)
    assert anchor.weight == 0.5


def test_it_goes_on_where_it_was():
    one, other = make_anchor(), Anchor(make_anchor().config)
    hear(one, *BASE, False)
    other.load_state_dict(one.state_dict())
    for anchor in (one, other):
        hear(anchor, False, True)
    assert one.state_dict() == other.state_dict()
    assert one.weight == other.weight < 1.0


def test_a_half_life_set_while_it_learns_counts_from_then_on():
    anchor = make_anchor(anchor_half_life=0)
    hear(anchor, *BASE * 10)
    anchor.config = anchor.config.model_copy(update={"anchor_half_life": 10})
    assert anchor.weight == 1.0
    hear(anchor, *BASE)
    assert anchor.weight == pytest.approx(0.25)
    anchor.config = anchor.config.model_copy(update={"anchor_half_life": 1000})
    assert anchor.weight == pytest.approx(0.25)
