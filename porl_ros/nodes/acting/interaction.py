"""The policy side of the circle, without ROS: observe, record, decide.

The policy node brings samples and takes commands away; everything between is here, so that it can
be driven by tests with a clock of their own.
"""

from collections import deque
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from porl_ros.errors import PorlError
from porl_ros.nodes.acting.judges import Judge, Ruling, by_function
from porl_ros.nodes.people.person import Wish
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, ReplayWriter
from porl_ros.robot.controller import Act, Controller, Outcome
from porl_ros.robot.observation import Samples


class UnusableObservation(PorlError):
    """What the sensors say cannot be: not acted on, not recorded, and the episode is cut."""


class Mark(StrEnum):
    """What an operator says of the episode that runs; it ends with the next observation."""

    SUCCESS = "success"  # reward 1, terminated
    FAILURE = "failure"  # reward 0, terminated: nothing good can follow
    END = "end"  # truncated


class EpisodeResult(NamedTuple):
    """What an episode came to. `own`: it says something of the policy, for nobody helped it and
    nobody cut it short."""

    number: int
    length: int
    ret: float
    success: bool
    policy_version: int  # of its first step
    own: bool = True


class Interaction:
    """Runs episodes of one robot. Called by the control thread alone; does no I/O.

    A step is `perceive` (what came of the last action; recorded), `think` (what the policy asks
    for) and `decide` (what is done); or `steer` in place of the two, when a person acts.
    Before `think` the caller may wait, for a grant or a bundle. Between two episodes there may be
    steps that are nobody's: `move`.
    """

    def __init__(
        self,
        controller: Controller,
        runtime: PolicyRuntime,
        writer: ReplayWriter,
        judge: Judge = by_function,
    ):
        self._controller, self._runtime, self._writer = controller, runtime, writer
        self._judge = judge
        self.steps = 0  # actions taken, over all episodes
        self.episode = -1
        self.running = False
        self.interventions = 0
        self.moving = False  # the robot moves, or did last, in steps that are nobody's
        self._in_place = False  # nobody else has moved the robot since it was told to stand
        self._actor = Actor.POLICY  # of the last step
        self._mark: Mark | None = None
        self._helped = False  # by a person, in this episode
        self.recent: deque[bool] = deque(maxlen=40)
        self._return = 0.0
        self.last_return = float("nan")  # sum of rewards of the last episode that ended by itself
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
        mark, self._mark = self._mark, None
        outcome = self._ruled(outcome, mark)
        self._record(outcome)
        self._observation = outcome.observation
        self._return += outcome.reward
        if not (outcome.terminated or outcome.truncated):
            return None
        return self._end(outcome.terminated and self._return > 0.0, mark)

    def mark(self, mark: Mark) -> bool:
        """Have the episode end with the next observation; False when none runs."""
        if self.running:
            self._mark = mark
        return self.running

    def think(self) -> np.ndarray:
        """What the policy asks for after the last observation; (m,) float32."""
        self._version = self._runtime.version
        return self._runtime.act(self._observation)

    def decide(self, action: np.ndarray, hold: bool = False) -> Act:
        """Carry an action out, or hold instead; the command in it must now be sent."""
        act = self._controller.hold() if hold else self._controller.act(action)
        return self._decided(act, Actor.SAFETY if hold or act.interventions else Actor.POLICY)

    def steer(self, wish: Wish) -> Act:
        """Carry out what a person asks for; the command in it must now be sent.

        He is the actor also where the filter has changed it, as `requested` and `executed` tell.
        """
        self._version, self._helped = self._runtime.version, True
        return self._decided(self._controller.steer(*wish), Actor.HUMAN)

    def move(self, samples: Samples, wish: Wish | None) -> Act | None:
        """A step between two episodes, by a wish or else towards standing; the command in it must
        now be sent. None when there is nothing to do. It is not recorded. UnusableObservation."""
        if self._in_place and not self.standing and not (self.moving and wish):
            self._controller.observe(samples)
            return self._controller.hold()
        if wish is None:
            self.moving = False
            return None
        if self.moving:
            self._controller.observe(samples)
        else:
            self._start(samples)
            self.moving = self._in_place = True
        return self._controller.steer(*wish)

    def moved(self) -> None:
        """Somebody else has moved the robot, or may have."""
        self._in_place = self.moving = False

    def whereabouts(self, samples: Samples) -> tuple[np.ndarray, np.ndarray]:
        """Where the joints were sent last and where they are measured to be (n,); the same while
        nobody knows whether somebody else has moved them."""
        measured = self._controller.joints(samples)
        return (self._controller.sent if self._in_place else measured), measured

    @property
    def standing(self) -> bool:
        """Whether the robot is told to stand."""
        return self._controller.standing

    def abort(self, in_place: bool = False) -> None:
        """End the running episode as it is: it counts as truncated, never as terminated.

        `in_place`: nobody moves the robot before the next one begins, so that what is sent goes on
        from the last command.
        """
        if self.running and self._observation is not None:
            self._writer.end_episode(self._observation)
            self._in_place = in_place
        self._in_place &= in_place
        self.running, self._act, self._mark, self.moving = False, None, None, False

    @property
    def recent_success(self) -> float:
        """Share of successes in the last episodes; NaN before the first."""
        return float(np.mean(self.recent)) if self.recent else float("nan")

    def _begin(self, samples: Samples) -> None:
        observation = self._start(samples)
        self._require_usable(observation)
        self._observation, self._in_place, self.moving = observation, False, False
        self.running, self._act, self._return = True, None, 0.0
        self._mark, self._helped = None, False
        self._judge(None)
        self.episode += 1

    def _start(self, samples: Samples) -> np.ndarray:
        try:
            return self._controller.begin(samples, self._in_place)
        except PorlError as error:
            raise UnusableObservation(str(error)) from None

    def _require_usable(self, observation: np.ndarray) -> None:
        if not np.isfinite(observation).all():
            self.abort(in_place=True)
            raise UnusableObservation("the observation holds values that are not finite")

    def _decided(self, act: Act, actor: Actor) -> Act:
        self._act_stamp = self._stamp
        if self._controller.steps == 0:
            self._first_version = self._version
        self._act, self._actor = act, actor
        self.interventions += bool(act.interventions)
        self.steps += 1
        return act

    def _ruled(self, outcome: Outcome, mark: Mark | None) -> Outcome:
        """The outcome as the judge sees it, unless the operator has said what it is."""
        reward, terminated = self._judge(outcome)  # in any case: it may count steps
        if mark in (Mark.SUCCESS, Mark.FAILURE):
            reward, terminated = Ruling(float(mark is Mark.SUCCESS), True)
        cut = mark is Mark.END or self._controller.out_of_time
        return Outcome(outcome.observation, reward, terminated, cut and not terminated)

    def _end(self, success: bool, mark: Mark | None) -> EpisodeResult:
        self.running, self._in_place, self.last_return = False, True, self._return
        own = not self._helped and mark is not Mark.END
        if own:
            self.recent.append(success)
        length = self._controller.steps
        return EpisodeResult(self.episode, length, self._return, success, self._first_version, own)

    def _record(self, outcome: Outcome) -> None:
        ended = outcome.terminated or outcome.truncated
        self._writer.log(
            observation=self._observation,
            action=self._act.executed,
            requested_action=self._act.requested,
            reward=outcome.reward,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            actor=self._actor,
            policy_version=self._version,
            episode=self.episode,
            step=self._controller.steps - 1,
            stamp=self._act_stamp,
            final_observation=outcome.observation if ended else None,
        )
