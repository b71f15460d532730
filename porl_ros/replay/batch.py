"""What a memory hands to a learner."""

from typing import NamedTuple, Self

import numpy as np

from porl_ros.replay.ring import Ring


class Batch(NamedTuple):
    """float32, C-contiguous. observation and next_observation (b, n), action (b, m), others (b,).

    The value of a transition is reward + discount * (1 - terminated) * value(next_observation).
    With n-step returns `reward` is the discounted sum of the k <= n rewards that are known of the
    episode from here on, `discount` is gamma**k, and the other two are those of the last of the k
    steps. `terminated` is 1.0 where there is no future to value; a truncated transition is 0.0 and
    bootstraps from its next_observation. `mc_return` is the discounted sum of rewards to the end
    of the episode, which takes a truncated future as worth nothing, and NaN while the episode runs.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    discount: np.ndarray
    mc_return: np.ndarray

    @classmethod
    def gather(cls, ring: Ring, slots: np.ndarray, discount: float, n_step: int) -> Self:
        """The transitions in `slots`, copied; with returns over up to `n_step` steps."""
        first = ring.slots.take(slots)
        following = ring.slots.take(first["next"])
        reward, terminated = first["reward"].copy(), first["terminated"].copy()
        discounts = np.full(len(slots), discount, np.float32)
        for step in range(1, n_step):
            # What follows is a row, and it is known what follows that
            on = np.flatnonzero((following["next"] >= 0) & (terminated == 0))
            if not len(on):
                break
            reward[on] += discount**step * following["reward"][on]
            terminated[on] = following["terminated"][on]
            discounts[on] = discount ** (step + 1)
            following[on] = ring.slots.take(following["next"][on])
        return cls(
            observation=np.ascontiguousarray(first["observation"]),
            action=np.ascontiguousarray(first["action"]),
            reward=reward,
            next_observation=np.ascontiguousarray(following["observation"]),
            terminated=terminated,
            discount=discounts,
            mc_return=first["mc_return"].copy(),
        )

    def join(self, other: Self) -> Self:
        """Both, one after the other."""
        return type(self)(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))
