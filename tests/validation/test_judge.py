"""The rule, applied to episodes that are made up."""

import pytest
from gated import episode

from porl_ros.robot.config_gate import Bounds, Rule
from porl_ros.validation.judge import Judge

RULE = Rule(success=0.8, margin=0.15, worse_by=0.1, least=40)
FORCE = {"contact_force": 300.0}


def judged(outcomes, rule: Rule = RULE, planned: int = 200, **settings) -> Judge:
    """A judge who has seen episodes: successes, or what else they were like."""
    judge = Judge(rule, planned, **settings)
    for seed, outcome in enumerate(outcomes):
        one = episode(seed, **outcome) if isinstance(outcome, dict) else episode(seed, outcome)
        if judge.observe(one):
            break
    return judge


def found(judge: Judge, name: str):
    return next(c for c in judge.criteria() if c.name.startswith(name))


def test_an_excellent_policy_is_admitted_as_early_as_allowed():
    judge = judged([True] * 200)
    assert (judge.decision, len(judge.episodes)) == ("admitted", 40)
    assert found(judge, "success").low >= 0.8
    assert judge.why == "everything asked for holds after 40 of 200 episodes"


def test_a_hopeless_policy_is_refused_at_once():
    judge = judged([False] * 200)
    assert judge.decision == "refused"
    assert len(judge.episodes) < 10
    assert "success is not at least 0.8" in judge.why


def test_what_cannot_be_shown_is_refused_in_the_end():
    judge = judged(([True] * 8 + [False]) * 20, planned=80)
    assert (judge.decision, len(judge.episodes)) == ("refused", 80)
    assert found(judge, "success").holds is None
    assert "success not shown to be at least 0.8" in judge.why


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("contact force", FORCE),
        ("velocity", {"velocity": 1.01}),
        ("acceleration", {"acceleration": 1.01}),
    ],
)
@pytest.mark.parametrize("as_base", [True, False])
def test_one_episode_beyond_a_bound_is_one_too_many(name, changes, as_base):
    judge = judged([{}] * 5 + [changes] + [{}] * 200, as_base=as_base)
    assert (judge.decision, len(judge.episodes)) == ("refused", 6)
    assert f"{name} is not at most" in judge.why


def test_a_filter_that_acts_too_often_is_a_reason():
    judge = judged([{"intervened": 2}] * 10 + [{"intervened": 1}] * 190)  # of 30 steps each
    assert (judge.decision, len(judge.episodes)) == ("admitted", 40)
    assert found(judge, "interventions").found <= 0.05
    judge = judged([{"intervened": 2}] * 40 + [{"intervened": 1}] * 160)
    assert (judge.decision, len(judge.episodes)) == ("refused", 40)  # not: until it has come down
    assert "interventions is not at most 0.05" in judge.why


def test_null_is_no_bound():
    rule = RULE.model_copy(update={"bounds": Bounds(contact_force=None)})
    assert judged([FORCE] * 200, rule).decision == "admitted"


def test_a_base_is_admitted_by_its_safety_and_sees_the_whole_suite():
    judge = judged([False, True] * 100, as_base=True)
    assert (judge.decision, len(judge.episodes)) == ("admitted", 200)
    assert found(judge, "success").asked == ""
    assert found(judge, "success").found == 0.5


COMPARED = RULE.model_copy(update={"success": None})


def compared(ours, theirs, rule: Rule = COMPARED, **of_ours) -> Judge:
    reference = {seed: episode(seed, success) for seed, success in enumerate(theirs)}
    return judged([{"success": s} | of_ours for s in ours], rule, reference=reference)


def test_pairs_are_compared_episode_by_episode():
    theirs = [True, False] * 100
    judge = compared(theirs, theirs)
    assert judge.decision == "admitted"  # shown not to be worse by 0.1
    assert found(judge, "success less").found == 0.0
    assert compared([True] * 200, theirs).decision == "admitted"
    judge = compared([True, False, False, False] * 50, theirs)
    assert judge.decision == "refused"
    assert "success less the reference's is not at least -0.1" in judge.why
    assert len(judge.episodes) < 60


def test_both_are_asked_for_where_both_are_stated():
    theirs = [True, False] * 100
    assert compared(theirs, theirs, RULE).decision == "refused"  # no worse, and not good enough
    nearly = [True] * 9 + [False]
    judge = compared(nearly * 20, [True] * 200, RULE)
    assert judge.decision == "refused"  # good enough, and worse than it was
    assert compared([True] * 200, [True] * 200, RULE).decision == "admitted"


def test_chattering_is_measured_against_the_reference():
    judge = compared([True] * 200, [True] * 200, roughness=0.8)
    assert judge.decision == "admitted"
    judge = compared([True] * 200, [True] * 200, roughness=1.0)  # the reference's is 0.3
    assert judge.decision == "refused"
    assert "roughness, of the reference's is not at most 3" in judge.why


@pytest.mark.parametrize("as_base", [False, True])
def test_chattering_is_bounded_where_there_is_no_reference_either(as_base):
    judge = judged([{"roughness": 1.6}] * 200, as_base=as_base)
    assert judge.decision == "refused"
    assert "roughness is not at most 1.5" in judge.why
    assert judged([{"roughness": 1.4}] * 200, as_base=as_base).decision == "admitted"


def test_the_decision_does_not_change_any_more():
    judge = judged([True] * 40)
    assert judge.observe(episode(41, **FORCE)) == "admitted"
    assert len(judge.episodes) == 40


def test_chances_are_stated_for_both_limits():
    chances = Judge(RULE, 200).chances()
    assert set(chances) == {"0.8", "0.95"}
    assert chances["0.8"] <= RULE.false_admission
    assert chances["0.95"] >= 1.0 - RULE.false_refusal
