"""A new policy on trial: it acts in a share of the episodes, beside the one that it is to replace.

Knows outcomes only: no weights, no Q-values, nothing that a learner gone wrong could talk it into.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from porl_ros.policy.runtime import Loaded, PolicyRuntime
from porl_ros.robot.config_gate import Canary as Settings
from porl_ros.sequential import MeanTest


class Verdict(StrEnum):
    """What a trial came to."""

    PROMOTED = "promoted"  # it was shown not to be worse by `worse_by`
    WITHDRAWN = "withdrawn"  # it was found to be worse
    UNDECIDED = "undecided"  # neither, within `episodes`: the incumbent stays


class Trial:
    """Compares a candidate with the incumbent, block by block. Seeded; one thread.

    Of every block of 1/share episodes one is the candidate's, at a place drawn at random, so that
    whatever drifts meanwhile meets both. A block says (c - i + 1)/2, with c the success of the
    candidate, 0 or 1, and i the mean of the incumbent's: 0.5 on average where they are equally
    good. Blocks in which one of the two has no episode that counts say nothing.
    """

    def __init__(self, settings: Settings, rng: np.random.Generator):
        """`settings.share` must be above 0."""
        self.settings, self._rng = settings, rng
        low = (1.0 - settings.worse_by) / 2.0
        self._test = MeanTest(low, 0.5, settings.false_promotion, settings.false_withdrawal)
        self.outcomes: dict[bool, list[bool]] = {True: [], False: []}  # of the candidate: True
        self._turns: list[bool] = []  # left in this block; True: the candidate's
        self._block: dict[bool, list[bool]] = {True: [], False: []}
        self._blocks = 0
        self._turn = False

    def draw(self) -> bool:
        """Whether the episode that begins is the candidate's."""
        if not self._turns:
            self._turns = [False] * self.settings.block
            self._turns[self._rng.integers(self.settings.block)] = True
            self._block = {True: [], False: []}
        self._turn = self._turns.pop()
        return self._turn

    def ended(self, success: bool | None) -> Verdict | None:
        """The episode is over. None: it says nothing of the policy, for somebody helped it, or it
        was cut short."""
        if success is not None:
            self.outcomes[self._turn].append(success)
            self._block[self._turn].append(success)
        return None if self._turns else self._judge_block()

    @property
    def bounds(self) -> tuple[float, float]:
        """How much more often the candidate succeeds: at least (wrong with `false_promotion` at
        most) and at most (wrong with `false_withdrawal`)."""
        low, high = self._test.bounds
        return 2.0 * low - 1.0, 2.0 * high - 1.0

    @property
    def named_outcomes(self) -> dict[str, list[bool]]:
        """Of the episodes that count."""
        return {"candidate": self.outcomes[True], "incumbent": self.outcomes[False]}

    @property
    def counts(self) -> str:
        """For people."""
        candidate, incumbent = self.named_outcomes.values()
        return (
            f"it succeeded in {sum(candidate)} of {len(candidate)} episodes, the one that acts in "
            f"{sum(incumbent)} of {len(incumbent)} meanwhile"
        )

    def _judge_block(self) -> Verdict | None:
        self._blocks += 1
        candidate, incumbent = self._block[True], self._block[False]
        if candidate and incumbent:
            passed = self._test.observe((candidate[0] - float(np.mean(incumbent)) + 1.0) / 2.0)
            if passed is not None:
                return Verdict.PROMOTED if passed else Verdict.WITHDRAWN
        return Verdict.UNDECIDED if self._blocks >= self.settings.episodes else None


class Ended(NamedTuple):
    """A trial that is over. `reason`: why, where it was not its outcomes that decided."""

    verdict: Verdict
    candidate: Loaded
    trial: Trial
    reason: str = ""

    @property
    def why(self) -> str:
        """For people."""
        shown = WHY[self.verdict].format(self.trial.settings)
        return self.reason or f"{shown}: {self.trial.counts}"


WHY = {
    Verdict.PROMOTED: "not worse by {0.worse_by:g} (wrong with a chance of {0.false_promotion:g})",
    Verdict.WITHDRAWN: "worse (wrong with a chance of {0.false_withdrawal:g})",
    Verdict.UNDECIDED: "neither worse nor as good is shown within {0.episodes} episodes of it",
}


class Canary:
    """Lets the candidate and the incumbent take turns. Control thread; no I/O: both are in memory.

    What is offered waits for the next episode, and while a policy is on trial for the end of that.
    """

    def __init__(self, runtime: PolicyRuntime, settings: Settings, seed: int = 0):
        self._runtime, self._settings = runtime, settings
        self._rng = np.random.default_rng([seed, 1])  # apart from the exploration's
        self.trial: Trial | None = None
        self.candidate: Loaded | None = None  # on trial
        self.incumbent: Loaded | None = None  # meanwhile
        self.passed: Loaded | None = None  # to be promoted once that is written down
        self._waiting: Loaded | None = None
        self._next: Loaded | None = None  # to act from the next episode on
        self._running = False  # an episode of the trial
        self._offered = -1

    @property
    def newest(self) -> int:
        """The highest version that acts or was offered."""
        return max(self._offered, self._runtime.version)

    def offer(self, loaded: Loaded) -> None:
        """Try this one next; of several that wait only the last is kept."""
        self._waiting, self._offered = loaded, loaded[0].manifest.version

    def install(self, loaded: Loaded) -> None:
        """Let this one act from the next episode on, without a trial."""
        self._next = loaded

    def episode_begins(self) -> bool:
        """Let the one act whose turn it is; whether a trial begins."""
        if self._next:
            self._runtime.swap(self._next)
            self._next = None
        begun = self._begin_trial()
        if self.trial:
            self._runtime.swap(self.candidate if self.trial.draw() else self.incumbent)
            self._running = True
        return begun

    def episode_ended(self, success: bool | None) -> Ended | None:
        """Take in an episode, None if it says nothing of the policy; the trial if that is over."""
        if not self._running:
            return None
        self._running = False
        verdict = self.trial.ended(success)
        return self._end(verdict) if verdict else None

    @property
    def running(self) -> bool:
        """Whether an episode of a trial has begun and not ended."""
        return self._running

    def promote(self, loaded: Loaded, written: bool) -> bool:
        """It passed, and that is written down, or could not be: whether it acts from the next
        episode on."""
        wanted = self.passed is loaded
        if wanted:
            self.passed = None
        if wanted and written:
            self._next = loaded
        return wanted and written

    def drop(self, reason: str) -> Ended | None:
        """Nobody is tried any more, nobody waits; the trial if one was on. Call after an earlier
        policy was let act."""
        self._waiting = self._next = self.passed = None
        return self._end(Verdict.WITHDRAWN, reason) if self.trial else None

    def _begin_trial(self) -> bool:
        if self._waiting is None or self.trial or self.passed:
            return False
        self.candidate, self._waiting = self._waiting, None
        self.incumbent, self.trial = self._runtime.loaded, Trial(self._settings, self._rng)
        return True

    def _end(self, verdict: Verdict, reason: str = "") -> Ended:
        ended = Ended(verdict, self.candidate, self.trial, reason)
        if verdict is Verdict.PROMOTED:
            self.passed = self.candidate
        if self._runtime.bundle is self.candidate[0]:
            self._runtime.swap(self.incumbent)
        self.candidate = self.incumbent = self.trial = None
        self._running = False
        return ended
