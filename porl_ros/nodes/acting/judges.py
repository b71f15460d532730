"""Who says what a step was worth and that the episode is over, as the robot config has it. No ROS.

A judge is called with every outcome of an episode, and with None when one begins.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from porl_ros.learning.classifier import Classifier, load_classifier
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.config_reward import ClassifierReward, TopicReward
from porl_ros.robot.controller import Outcome


class Ruling(NamedTuple):
    """What a step was worth, and whether the task is over."""

    reward: float
    terminated: bool


Judge = Callable[[Outcome | None], Ruling]
NOTHING = Ruling(0.0, False)


def by_function(outcome: Outcome | None) -> Ruling:
    """The function of the contract, as the controller has computed it."""
    return Ruling(outcome.reward, outcome.terminated) if outcome else NOTHING


def by_operator(outcome: Outcome | None) -> Ruling:
    """Nothing by itself: the operator's marks are heard in any case."""
    return NOTHING


class ByClassifier:
    """Success when it was likely enough in so many steps, one after the other."""

    def __init__(self, classifier: Classifier, reward: ClassifierReward):
        self._classifier, self._reward, self._in_a_row = classifier, reward, 0

    def __call__(self, outcome: Outcome | None) -> Ruling:
        likely = outcome is not None and self._likely(outcome)
        self._in_a_row = self._in_a_row + 1 if likely else 0
        success = self._in_a_row >= self._reward.consecutive
        return Ruling(float(success), success)

    def _likely(self, outcome: Outcome) -> bool:
        return self._classifier.probability(outcome.observation) >= self._reward.threshold


class ByTopic:
    """What has come since the step before; see `TopicReward`. Control thread."""

    def __init__(self, reward: TopicReward):
        self._config, self._reward, self._done = reward, 0.0, False

    def say_done(self) -> None:
        """A true message on `done` has come."""
        self._done = True

    def say_reward(self, value: float) -> str:
        """A message on `reward` has come; why it is not taken, empty when it is."""
        low, high = self._config.range
        if not (math.isfinite(value) and low <= value <= high):
            return f"{self._config.reward}: {value} is outside reward.range, {low} to {high}"
        self._reward = value
        return ""

    def __call__(self, outcome: Outcome | None) -> Ruling:
        said, done = self._reward, self._done
        self._reward, self._done = 0.0, False
        if outcome is None:
            return NOTHING
        return Ruling(said if self._config.reward else float(done), done)


def make_judge(config: RobotConfig) -> Judge:
    """The judge of a robot config; BundleError or ContractMismatch for a classifier that does not
    fit."""
    reward = config.reward
    match reward.source:
        case "operator":
            return by_operator
        case "topic":
            return ByTopic(reward)
        case "classifier":
            return ByClassifier(load_classifier(reward.path, config), reward)
    return by_function
