"""Who says that an episode has succeeded."""

from pathlib import Path

import numpy as np
import pytest

from porl_ros.nodes.acting.judges import ByClassifier, ByTopic, Ruling, by_function, by_operator
from porl_ros.robot.config_reward import ClassifierReward, TopicReward
from porl_ros.robot.controller import Outcome


def outcome(observation=0.0, reward=0.0, terminated=False) -> Outcome:
    return Outcome(np.array([observation], np.float32), reward, terminated, False)


class Given:
    """A classifier whose probability is what it sees."""

    def probability(self, observation: np.ndarray) -> float:
        return float(observation[0])


def test_the_function_of_the_contract():
    assert by_function(outcome(reward=1.0, terminated=True)) == Ruling(1.0, True)
    assert by_function(None) == Ruling(0.0, False)


def test_an_operator_says_it_himself():
    assert by_operator(outcome(reward=1.0, terminated=True)) == Ruling(0.0, False)


def test_a_classifier_must_be_sure_for_so_many_steps():
    reward = ClassifierReward(source="classifier", path=Path("x"), threshold=0.8, consecutive=3)
    judge = ByClassifier(Given(), reward)
    judge(None)
    seen = [0.9, 0.9, 0.5, 0.8, 0.95, 0.9]
    assert [judge(outcome(p)).terminated for p in seen] == [False] * 5 + [True]
    judge(None)  # another episode: it counts from the start
    assert [judge(outcome(0.9)) for _ in range(3)] == [Ruling(0.0, False)] * 2 + [Ruling(1.0, True)]


def test_a_flag_ends_the_episode_as_a_success():
    judge = ByTopic(TopicReward(source="topic", done="done"))
    assert judge(outcome()) == Ruling(0.0, False)
    judge.say_done()
    assert judge(outcome()) == Ruling(1.0, True)
    assert judge(outcome()) == Ruling(0.0, False)
    judge.say_done()
    judge(None)  # it was said of the episode before
    assert judge(outcome()) == Ruling(0.0, False)


def test_rewards_count_for_the_step_in_which_they_come():
    judge = ByTopic(TopicReward(source="topic", done="done", reward="worth", range=(-1.0, 2.0)))
    assert judge.say_reward(0.5) == ""
    assert judge.say_reward(1.5) == ""
    assert judge(outcome()) == Ruling(1.5, False)
    assert judge(outcome()) == Ruling(0.0, False)
    judge.say_done()
    assert judge(outcome()) == Ruling(0.0, True)


@pytest.mark.parametrize("value", [2.1, -1.1, float("nan"), float("inf")])
def test_a_reward_out_of_its_range_is_not_taken(value):
    judge = ByTopic(TopicReward(source="topic", done="done", reward="worth", range=(-1.0, 2.0)))
    assert "outside reward.range, -1.0 to 2.0" in judge.say_reward(value)
    assert judge(outcome()) == Ruling(0.0, False)
