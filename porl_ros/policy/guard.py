"""No regret: notices when the policy has become worse than the one it started from.

Runs where the policy runs, so that it outlives the learner. Knows outcomes only: no weights, no
Q-values, nothing that a learner gone wrong could talk it into.
"""

from collections import deque
from typing import NamedTuple

from porl_ros.sequential import WorseThan, success_bounds

WINDOW = 20  # episodes that a bundle's claim to be the best known rests on
CERTAINTY = 0.1  # chance that such a claim to be better than the base is wrong


class GoBack(NamedTuple):
    """The policy is worse than the base: let `version` act again, and why, for people."""

    version: int
    reason: str


class NoRegretGuard:
    """Fed with the outcome of every episode, it says when to go back, and to which version.

    Episodes of the first version it sees are the base's: their success is the reference, taken at
    its lower confidence bound. A healthy learner, one whose policies never succeed less often than
    the base, is sent back with probability at most `alpha`, counted from the start or from a
    return to the end of the run; half of it is spent on the bound, half on the test. One thread.
    """

    def __init__(self, alpha: float = 0.1):
        """Raises ValueError for an alpha outside (0, 1)."""
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha: {alpha} must be between 0 and 1")
        self.alpha = alpha
        self.base_version: int | None = None
        self.base_successes = self.base_episodes = 0
        self.best: int | None = None  # the best known version; None: the base
        self._best_rate = 0.0
        self._used_best = False
        self._window: deque[tuple[int, bool]] = deque(maxlen=WINDOW)
        self._test: WorseThan | None = None

    def observe(self, version: int, success: bool) -> GoBack | None:
        """Take in an episode of `version` that ended; returns what to do, if anything."""
        if self.base_version is None:
            self.base_version = version
        if self._test is None and version == self.base_version:
            self.base_episodes += 1
            self.base_successes += success
            return None
        if self._test is None:
            self._test = self._new_test()
        self._window.append((version, success))
        if self._test.observe(success):
            return self._go_back()
        self._remember_best()
        return None

    def forget(self, version: int) -> None:
        """Never send back to this one: it did not pass its trial."""
        self._window = deque((one for one in self._window if one[0] != version), maxlen=WINDOW)
        if self.best == version:
            self.best, self._best_rate = None, 0.0

    @property
    def base_success(self) -> float:
        """Measured success of the base; NaN before its first episode."""
        return self.base_successes / self.base_episodes if self.base_episodes else float("nan")

    @property
    def keepers(self) -> set[int]:
        """Versions that it may yet send back to: whoever runs it keeps them at hand."""
        known = {version for version, _ in self._window} | {self.base_version, self.best}
        return known - {None}

    @property
    def failures_to_return(self) -> int | None:
        """Failed episodes in a row that would now make it send back; None before there is a test.

        Many or few, depending on how well the base is known and how good it is: a base that fails
        nearly always cannot be told from a policy that always does.
        """
        return self._test.failures_to_alarm() if self._test else None

    def _new_test(self) -> WorseThan:
        low, _ = success_bounds(self.base_successes, self.base_episodes, self.alpha / 2)
        return WorseThan(low, self.alpha / 2)

    def _go_back(self) -> GoBack:
        recent = sum(success for _, success in self._window)
        reason = (
            f"{recent} of the last {len(self._window)} episodes succeeded, the base policy "
            f"{self.base_successes} of {self.base_episodes}: worse than the base "
            f"(false alarms: at most {self.alpha:.0%} of runs)"
        )
        if self._used_best:  # it did not hold what it promised
            self.best = None
        self._used_best = self.best is not None
        self._window.clear()
        self._test = self._new_test()
        return GoBack(self.base_version if self.best is None else self.best, reason)

    def _remember_best(self) -> None:
        """The version in the middle of the best window, if that is surely better than the base."""
        if len(self._window) < WINDOW:
            return
        successes = sum(success for _, success in self._window)
        low, _ = success_bounds(successes, WINDOW, CERTAINTY)
        if successes / WINDOW >= self._best_rate and low > self.base_success:
            self._best_rate = successes / WINDOW
            self.best, self._used_best = self._window[WINDOW // 2][0], False
