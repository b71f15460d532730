"""When a person acts and when the policy does, by the clock."""

import numpy as np

from porl_ros.nodes.people.person import Person

JOINTS, SECOND = ("a", "b"), 1_000_000_000
FORWARD = np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])


def test_a_word_takes_over_and_silence_hands_back():
    person = Person(JOINTS, timeout=0.5)
    assert person.wish(0) is None
    person.say_twist(FORWARD, 10)
    assert np.array_equal(person.wish(10).twist, FORWARD)
    assert person.wish(10 + SECOND // 2) is not None
    assert person.wish(11 + SECOND // 2) is None
    assert person.wish(9) is None  # the clock went back: it was said in another time


def test_joints_may_be_named_in_part_and_each_kind_of_word_has_its_age():
    person = Person(JOINTS, timeout=0.5)
    person.say_twist(FORWARD, 0)
    person.say_joints({"b": 1.0}, SECOND // 2)
    both = person.wish(SECOND // 2)
    assert np.isnan(both.joints[0])
    assert both.joints[1] == 1.0
    assert both.twist is not None
    later = person.wish(SECOND)
    assert later.twist is None  # the twist is too old by now
    assert later.joints[1] == 1.0


def test_with_a_dead_man_button_it_alone_decides():
    person = Person(JOINTS, timeout=0.5, deadman=True)
    person.say_twist(FORWARD, 0)
    assert person.wish(0) is None
    person.hold_button(True, 1)
    assert np.array_equal(person.wish(1).twist, FORWARD)
    person.hold_button(True, SECOND)
    still = person.wish(SECOND)  # held, and nothing said: stand still
    assert still.twist is None
    assert np.isnan(still.joints).all()
    person.say_twist(FORWARD, SECOND)
    person.hold_button(False, SECOND)
    assert person.wish(SECOND) is None
    person.hold_button(True, SECOND + 1)
    assert person.wish(SECOND + 1).twist is None  # what was said before it was let go is forgotten
    assert person.wish(2 * SECOND) is None  # a button that is not heard any more is let go


def test_nobody_acts_where_that_is_switched_off():
    person = Person(JOINTS, timeout=0.0)
    person.say_twist(FORWARD, 5)
    assert person.wish(5) is None


def test_what_is_fresh_has_not_been_answered():
    person = Person(JOINTS, timeout=0.5)
    assert not person.fresh
    person.say_joints({"a": 0.0}, 0)
    assert person.fresh
    person.answered()
    assert not person.fresh
    person.say_twist(FORWARD, 0)
    person.forget()
    assert not person.fresh
