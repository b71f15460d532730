"""The policy side of the circle, without ROS: observe, record, decide.

The policy node brings samples and takes commands away; everything between is here, so that it can
be driven by tests with a clock of their own.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from porl_ros.errors import PorlError
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, ReplayWriter
from porl_ros.robot.controller import Act, Controller, Outcome
from porl_ros.robot.observation import Samples


class UnusableObservation(PorlError):
    """What the sensors say cannot be: not acted on, not recorded, and the episode is cut."""


class EpisodeResult(NamedTuple):
    """What an episode came to."""

    number: int
    length: int
    ret: float
    success: bool
    policy_version: int  # of its first step


class Interaction:
    """Runs episodes of one robot. Called by the control thread alone; does no I/O.

    A step is `perceive` (what came of the last action; recorded), `think` (what the policy asks
    for) and `decide` (what is done).
    Before `think` the caller may wait, for a grant or a bundle.
    """

    def __init__(self, controller: Controller, runtime: PolicyRuntime, writer: ReplayWriter):
        self._controller, self._runtime, self._writer = controller, runtime, writer
        self.steps = 0  # actions taken, over all episodes
        self.episode = -1
        self.running = False
        self.interventions = 0
        self._in_place = False  # the next episode begins where the last one was cut
        self._held = False  # the step was held instead of doing what the policy asked for
        self.recent: deque[bool] = deque(maxlen=40)
        self._return = 0.0
        self._observation: np.ndarray | None = None
        self._stamp = self._act_stamp = 0
        self._act: Act | None = None
        self._version = self._first_version = 0

    def perceive(self, samples: Samples) -> EpisodeResult | None:
        """Take in what the sensors say; returns the result of an episode that ended with it.

        UnusableObservation when nothing can be done with it; then no episode runs.
        """
        self._stamp = max(sample.stamp for sample in samples.values())
        if not self.running:
            self._begin(samples)
            return None
        outcome = self._controller.observe(samples)
        self._require_usable(outcome.observation)
        self._record(outcome)
        self._observation = outcome.observation
        self._return += outcome.reward
        if not (outcome.terminated or outcome.truncated):
            return None
        return self._end(outcome.terminated)

    def think(self) -> np.ndarray:
        """What the policy asks for after the last observation; (m,) float32."""
        self._version = self._runtime.version
        return self._runtime.act(self._observation)

    def decide(self, action: np.ndarray, hold: bool = False) -> Act:
        """Carry an action out, or hold instead; the command in it must now be sent."""
        self._act_stamp = self._stamp
        if self._controller.steps == 0:
            self._first_version = self._version
        self._held = hold
        self._act = self._controller.hold() if hold else self._controller.act(action)
        self.interventions += bool(self._act.interventions)
        self.steps += 1
        return self._act

    def abort(self, in_place: bool = False) -> None:
        """End the running episode as it is: it counts as truncated, never as terminated.

        `in_place`: nobody moves the robot before the next one begins, so that what is sent goes on
        from the last command.
        """
        if self.running and self._observation is not None:
            self._writer.end_episode(self._observation)
            self._in_place = in_place
        self._in_place &= in_place
        self.running, self._act = False, None

    @property
    def recent_success(self) -> float:
        """Share of successes in the last episodes; NaN before the first."""
        return float(np.mean(self.recent)) if self.recent else float("nan")

    def _begin(self, samples: Samples) -> None:
        try:
            observation = self._controller.begin(samples, self._in_place)
        except PorlError as error:
            raise UnusableObservation(str(error)) from None
        self._require_usable(observation)
        self._observation, self._in_place = observation, False
        self.running, self._act, self._return = True, None, 0.0
        self.episode += 1

    def _require_usable(self, observation: np.ndarray) -> None:
        if not np.isfinite(observation).all():
            self.abort(in_place=True)
            raise UnusableObservation("the observation holds values that are not finite")

    def _end(self, success: bool) -> EpisodeResult:
        self.running = False
        self.recent.append(success)
        length = self._controller.steps
        return EpisodeResult(self.episode, length, self._return, success, self._first_version)

    def _record(self, outcome: Outcome) -> None:
        ended = outcome.terminated or outcome.truncated
        safety = self._held or self._act.interventions
        self._writer.log(
            observation=self._observation,
            action=self._act.executed,
            requested_action=self._act.requested,
            reward=outcome.reward,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            actor=Actor.SAFETY if safety else Actor.POLICY,
            policy_version=self._version,
            episode=self.episode,
            step=self._controller.steps - 1,
            stamp=self._act_stamp,
            final_observation=outcome.observation if ended else None,
        )
