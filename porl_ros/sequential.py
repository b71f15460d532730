"""Tests on successes and failures that may be looked at after every episode.

The evidence is an e-process: a bet against the hypothesis that cannot be expected to gain while
the hypothesis holds, so that it exceeds 1/alpha with probability at most alpha, however long one
looks (Ville's inequality). The mixture over the time of the change follows the e-detectors of Shin,
Ramdas and Rinaldo (arXiv 2203.03532).
"""

import math
from functools import lru_cache

import numpy as np
from scipy.stats import beta

# Bets: how far success has fallen, as shares of the reference, and how much is put on each. Most
# on a collapse, which is what fine-tuning does when it goes wrong.
SHARES = np.array([0.0, 1 / 3, 2 / 3])
STAKES = np.array([0.5, 0.25, 0.25])


class WorseThan:
    """Collects evidence that success has fallen below `reference`.

    Hypothesis: every episode succeeds with probability at least `reference`, whatever came before
    it (policies may change as they like). `alarm` is ever raised with probability at most `alpha`
    while that holds. With `change_at_any_time` the fall may come after any number of good
    episodes, which do not count against it; without, the outcomes are taken as of one policy.
    """

    def __init__(self, reference: float, alpha: float, change_at_any_time: bool = True):
        """Raises ValueError for a reference outside [0, 1) or an alpha outside (0, 1)."""
        if not 0.0 <= reference < 1.0:
            raise ValueError(f"reference: {reference} must be from 0 up to, not including, 1")
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha: {alpha} must be between 0 and 1")
        self.reference, self.alpha, self.episodes = reference, alpha, 0
        self._any_time = change_at_any_time
        worse = SHARES * reference
        self._won = np.divide(worse, reference, out=np.ones(len(SHARES)), where=reference > 0)
        self._lost = (1.0 - worse) / (1.0 - reference)
        self._running = np.zeros(len(SHARES))  # wealth of the bets that have begun

    def observe(self, success: bool) -> bool:
        """Take in one outcome; returns `alarm`."""
        begun = self._unspent(self.episodes) - self._unspent(self.episodes + 1)
        self.episodes += 1
        self._running = (self._running + begun) * (self._won if success else self._lost)
        return self.alarm

    @property
    def evidence(self) -> float:
        """The e-value, 1 at first: at 1/alpha the alarm is raised."""
        return float(STAKES @ self._running) + self._unspent(self.episodes)

    @property
    def alarm(self) -> bool:
        return self.evidence >= 1.0 / self.alpha

    def failures_to_alarm(self, at_most: int = 10_000) -> int:
        """Failures in a row from now on that would raise the alarm; `at_most` if not even those."""
        running, episodes = self._running.copy(), self.episodes
        for count in range(at_most):
            if STAKES @ running + self._unspent(episodes) >= 1.0 / self.alpha:
                return count
            begun = self._unspent(episodes) - self._unspent(episodes + 1)
            running, episodes = (running + begun) * self._lost, episodes + 1
        return at_most

    def _unspent(self, episodes: int) -> float:
        """The share of the stake that bets on a later change: falls slowly, and adds up to 1."""
        if not self._any_time:
            return float(episodes == 0)
        return 1.0 / (1.0 + math.log2(1 + episodes))


@lru_cache(4096)  # asked for after every episode, and slow for that
def success_bounds(successes: int, episodes: int, alpha: float) -> tuple[float, float]:
    """Clopper-Pearson bounds of a success probability, each wrong with probability `alpha`."""
    low = beta.ppf(alpha, successes, episodes - successes + 1) if successes else 0.0
    missed = episodes - successes
    high = beta.ppf(1.0 - alpha, successes + 1, missed) if missed else 1.0
    return float(low), float(high)
