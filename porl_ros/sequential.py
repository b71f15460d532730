"""Tests on successes and failures that may be looked at after every episode.

The evidence is an e-process: a bet against the hypothesis that cannot be expected to gain while
the hypothesis holds, so that it exceeds 1/alpha with probability at most alpha, however long one
looks (Ville's inequality). The mixture over the time of the change follows the e-detectors of Shin,
Ramdas and Rinaldo (arXiv 2203.03532).
"""

import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaincinv

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
    low = betaincinv(successes, episodes - successes + 1, alpha) if successes else 0.0
    missed = episodes - successes
    high = betaincinv(successes + 1, missed, 1.0 - alpha) if missed else 1.0
    return float(low), float(high)


# Bets on a mean that is higher than the one that is tested, as shares of what may be staked, and
# how much is put on each. A share c is the best bet if the mean is c of the way up to 1.
BETS = np.array([0.03, 0.06, 0.12, 0.2, 0.3, 0.45, 0.65, 1.0])


def evidence_above(outcomes: Mapping[float, int], mean: float) -> float:
    """Logarithm of the e-value against "what comes is at most `mean` on average, given the past".

    `outcomes` counts values from 0 to 1; `mean` lies between 0 and 1. A mixture of constant bets
    on each outcome (Waudby-Smith and Ramdas, arXiv 2010.09686): it grows with every outcome above
    `mean`, falls with `mean`, and may be looked at after every outcome.
    """
    logs = np.zeros(len(BETS))
    with np.errstate(divide="ignore"):  # a bet of everything is lost
        for value, count in outcomes.items():
            if count:
                logs = logs + count * np.log1p(BETS * (value / mean - 1.0))
    return float(np.logaddexp.reduce(logs) - math.log(len(BETS)))


def mean_bounds(outcomes: Mapping[float, int], alpha: float) -> tuple[float, float]:
    """Bounds of a mean, each ever wrong with probability at most `alpha`, whenever one looks."""
    mirrored = {1.0 - value: count for value, count in outcomes.items()}
    return _lower(outcomes, alpha), 1.0 - _lower(mirrored, alpha)


def _lower(outcomes: Mapping[float, int], alpha: float) -> float:
    def beyond(mean: float) -> float:
        return evidence_above(outcomes, mean) + math.log(alpha)

    edge = 1e-9
    if not any(value and count for value, count in outcomes.items()) or beyond(edge) < 0.0:
        return 0.0
    return 1.0 - edge if beyond(1.0 - edge) > 0.0 else float(brentq(beyond, edge, 1.0 - edge))


class MeanTest:
    """Whether the mean of outcomes from 0 to 1 is above `low`; what lies up to `high` may go either
    way. It may be looked at after every outcome.

    `verdict` is True with probability at most `false_yes` if the mean is `low` or less, and False
    with probability at most `false_no` if it is `high` or more; it is None while neither is shown.
    A yes is given after `least` outcomes at the earliest.
    """

    def __init__(self, low: float, high: float, false_yes: float, false_no: float, least: int = 0):
        """Raises ValueError unless 0 < low < high < 1 and both errors are between 0 and 1."""
        if not 0.0 < low < high < 1.0:
            raise ValueError(f"low = {low}, high = {high}: must be 0 < low < high < 1")
        if not (0.0 < false_yes < 1.0 and 0.0 < false_no < 1.0):
            raise ValueError(f"false_yes = {false_yes}, false_no = {false_no}: must be in (0, 1)")
        self.low, self.high, self.least = low, high, least
        self.false_yes, self.false_no = false_yes, false_no
        self.outcomes: Counter[float] = Counter()
        self.verdict: bool | None = None

    def observe(self, value: float) -> bool | None:
        """Take in one outcome, unless it is decided; returns `verdict`."""
        if self.verdict is None:
            self.outcomes[value] += 1
            self.verdict = self._decide()
        return self.verdict

    @property
    def bounds(self) -> tuple[float, float]:
        """Of the mean: the lower one is `low` or more if and only if the verdict is yes (after
        `least`), the upper one `high` or less if and only if it is no."""
        low = _lower(self.outcomes, self.false_yes)
        mirrored = {1.0 - value: count for value, count in self.outcomes.items()}
        return low, 1.0 - _lower(mirrored, self.false_no)

    def _decide(self) -> bool | None:
        mirrored = {1.0 - value: count for value, count in self.outcomes.items()}
        if evidence_above(mirrored, 1.0 - self.high) >= -math.log(self.false_no):
            return False
        enough = self.outcomes.total() >= self.least
        if enough and evidence_above(self.outcomes, self.low) >= -math.log(self.false_yes):
            return True
        return None


def chances(test: MeanTest, success: float, episodes: int) -> tuple[float, float]:
    """How likely it is that a new `test` says yes, and that it says no, within `episodes` successes
    and failures, of which `success` is the probability. Exact, but for rounding."""
    alive, yes, no = np.ones(1), 0.0, 0.0  # probabilities of 0, 1, ... successes, undecided yet
    for n in range(1, episodes + 1):
        alive = np.append(alive * (1.0 - success), 0.0) + np.append(0.0, alive * success)
        least, most = _limits(test.low, test.high, test.false_yes, test.false_no, n)
        if n >= test.least:
            yes += float(alive[least:].sum())
            alive[least:] = 0.0
        no += float(alive[: most + 1].sum())
        alive[: most + 1] = 0.0
    return yes, no


@lru_cache(100_000)
def _limits(low: float, high: float, false_yes: float, false_no: float, n: int) -> tuple[int, int]:
    """Of n episodes, how many successes say yes at least, and how many say no at most."""
    ups = (evidence_above({1.0: k, 0.0: n - k}, low) for k in range(n + 1))
    least = next((k for k, up in enumerate(ups) if up >= -math.log(false_yes)), n + 1)
    downs = (evidence_above({1.0: n - k, 0.0: k}, 1.0 - high) for k in range(n, -1, -1))
    most = next((n - i for i, down in enumerate(downs) if down >= -math.log(false_no)), -1)
    return least, most
