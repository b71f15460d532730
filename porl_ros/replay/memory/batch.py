"""What a memory hands to a learner."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from porl_ros.replay.memory.ring import SHOWN, Ring, join_records


class Batch(NamedTuple):
    """float32, C-contiguous. observation and next_observation (b, n), action (b, m), others (b,).

    The value of a transition is reward + discount * (1 - terminated) * value(next_observation).
    With n-step returns, and from where they begin, `reward` is the discounted sum of the k <= n
    rewards that are known of the episode from here on, `discount` is gamma**k, and the other two
    are those of the last of the k steps. `terminated` is 1.0 where there is no future to value; a
    truncated transition is 0.0 and bootstraps from its next_observation. `mc_return` is the
    discounted sum of rewards to the end of the episode, which takes a truncated future as worth
    nothing, and NaN while the episode runs.
    """

    observation: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    next_observation: np.ndarray
    terminated: np.ndarray
    discount: np.ndarray
    mc_return: np.ndarray

    @classmethod
    def of(cls, parts: Sequence["Gathered"]) -> Self:
        """The parts one after the other."""
        first, last, discount = map(join_records, zip(*parts, strict=True))
        return cls(
            observation=np.ascontiguousarray(first["observation"]),
            action=np.ascontiguousarray(first["action"]),
            reward=first["reward"].copy(),
            next_observation=np.ascontiguousarray(last["observation"]),
            terminated=first["terminated"].copy(),
            discount=discount,
            mc_return=first["mc_return"].copy(),
        )


class Gathered(NamedTuple):
    """Records of slots (b,): where transitions begin and where they bootstrap from, and their
    discounts. `first` has the rewards of all steps summed up, and how the last one ended."""

    first: np.ndarray
    last: np.ndarray
    discount: np.ndarray


def gather(
    ring: Ring, slots: np.ndarray, gamma: float, n_step: int, multi_step_from: int
) -> Gathered:
    """The transitions in `slots`, over up to `n_step` steps each; copies.

    What is summed up after the first step must be the learned policy's own doing: fed from this
    address on, and not shown by anybody. What others did next says what they are worth.
    """
    first = ring.slots.take(slots)
    at = first["next"]
    last = ring.slots.take(at)
    discount = np.full(len(slots), gamma, np.float32)
    for step in range(1, n_step):
        # Only over a row of which it is known what follows; final observations are no rows
        own = (ring.addresses(at) >= multi_step_from) & (ring.flags.take(at) & SHOWN == 0)
        on = own & (last["next"] >= 0) & (first["terminated"] == 0)
        first["reward"] += np.where(on, gamma**step * last["reward"], 0.0)
        first["terminated"] = np.where(on, last["terminated"], first["terminated"])
        discount = np.where(on, np.float32(gamma ** (step + 1)), discount)
        at = np.where(on, last["next"], at)
        last = ring.slots.take(at)
    return Gathered(first, last, discount)
