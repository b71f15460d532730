"""An episode that somebody else commanded, as the robot would have recorded it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from porl_ros.replay.schema import Actor
from porl_ros.robot.controller import Controller
from porl_ros.robot.observation import Samples


class FollowedEpisode:
    """Follows commands with the controller; one at a time, as that is the controller's episode.

    A row is given out when it is known how it goes on, because the last one of an episode is
    another.
    """

    def __init__(self, controller: Controller, number: int, samples: Samples, actor: Actor):
        """Begin where the robot is."""
        self._controller, self._number, self._actor = controller, number, actor
        self._command = controller.joints(samples)  # without another one, the robot holds
        self._observation = controller.begin(samples)
        self._stamp = _newest(samples)
        self._row: dict[str, Any] | None = None  # the newest, not given out
        self.over = self.succeeded = False
        self.unexplained = 0.0  # of the last step, in actions

    def step(
        self, command: np.ndarray | None, samples: Samples, success: bool | None
    ) -> Iterator[dict[str, Any]]:
        """A step: the last command that was sent in it (n,), None if there was none, and what
        followed. `success` is what somebody says of it; None leaves it to the contract. Gives out
        the row before."""
        if self._row:
            yield self._row
        self._command = self._command if command is None else command
        act = self._controller.follow(self._command)
        outcome = self._controller.observe(samples)
        self.unexplained = act.unexplained
        self.succeeded = outcome.terminated if success is None else success
        timeout = self._controller.steps >= self._controller.config.episode.horizon
        self.over = self.succeeded or timeout
        self._row = {
            "observation": self._observation, "action": act.executed,
            "requested_action": act.executed, "reward": float(self.succeeded),
            "terminated": self.succeeded, "truncated": False, "actor": self._actor,
            "policy_version": -1, "episode": self._number, "step": self._controller.steps - 1,
            "stamp": self._stamp,
        }  # fmt: skip
        self._observation, self._stamp = outcome.observation, _newest(samples)

    def end(self) -> Iterator[dict[str, Any]]:
        """The last row, if there is one: truncated unless it succeeded."""
        if self._row:
            ended = {"truncated": not self.succeeded, "final_observation": self._observation}
            yield self._row | ended
            self._row = None


def _newest(samples: Samples) -> int:
    return max(sample.stamp for sample in samples.values())
