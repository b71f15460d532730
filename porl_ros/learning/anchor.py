"""How firmly the policy is held to the frozen one, by what its episodes say."""

from collections import deque
from typing import Any

import numpy as np

from porl_ros.learning.config import PorlConfig

# As much may recent success lie under the base's by chance (of 40 episodes) before that counts as
# worse, and as many times as fast as it loosens the anchor comes back.
TOLERANCE = 0.1
FIRMER = 4
MOST_HALVINGS = 10.0  # a thousandth, so that the way back is never long


class Anchor:
    """The weight of the squared distance to the frozen policy. One thread.

    It is the lower of two. One falls by the square from `anchor` to `anchor_final` as the success
    of the last `anchor_window` episodes rises from the base's to 1. The other, if
    `anchor_half_life` is not 0, halves with every so many episodes of a policy that is not worse
    than the base, for what there is to gain may lie farther away than the first weight lets it go;
    and it comes back when it is worse.
    """

    def __init__(self, config: PorlConfig):
        self.config = config
        self._recent: deque[bool] = deque(maxlen=config.anchor_window)
        self._base: list[bool] = []
        self._halvings = 0.0

    def hear(self, success: bool, of_base: bool) -> None:
        """An episode has ended; `of_base`: in the pre-sample stage."""
        self._recent.append(success)
        if of_base:
            self._base.append(success)
        elif 2 * len(self._recent) >= self.config.anchor_window and self.config.anchor_half_life:
            worse = self.recent_success < self._reference - TOLERANCE
            self._loosen((-FIRMER if worse else 1) / self.config.anchor_half_life)

    def forget(self) -> None:
        """Another policy acts: what the last ones did says nothing of it, and it is to be held
        more firmly than they were."""
        self._recent.clear()
        self._loosen(-FIRMER)

    def _loosen(self, halvings: float) -> None:
        self._halvings = float(np.clip(self._halvings + halvings, 0.0, MOST_HALVINGS))

    @property
    def recent_success(self) -> float:
        """Of the last episodes; NaN before the first."""
        return float(np.mean(self._recent)) if self._recent else float("nan")

    @property
    def base_success(self) -> float:
        """Of the frozen policy in the pre-sample stage; NaN without one."""
        return float(np.mean(self._base)) if self._base else float("nan")

    @property
    def gained(self) -> float:
        """Of what there was to gain, by recent success: from 0, the base's, to 1. A base whose
        success is not known counts as 0."""
        base = self._reference
        if not self._recent or base >= 1.0:
            return 0.0
        return float(np.clip((self.recent_success - base) / (1.0 - base), 0.0, 1.0))

    @property
    def weight(self) -> float:
        """Of the squared distance. What always succeeds, or is not known yet, is held."""
        first, last = self.config.anchor, self.config.anchor_final
        if not self._recent or self._reference >= 1.0:
            return first
        by_success = last + (first - last) * (1.0 - self.gained) ** 2
        by_patience = first * 0.5**self._halvings if self.config.anchor_half_life else first
        return float(max(last, min(by_success, by_patience)))

    @property
    def _reference(self) -> float:
        return self.base_success if self._base else 0.0

    def state_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "recent": list(self._recent),
            "base": list(self._base),
            "halvings": self._halvings,
        }

    def load_state_dict(self, books: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self._recent.extend(books["recent"])
        self._base = list(books["base"])
        self._halvings = books["halvings"]
