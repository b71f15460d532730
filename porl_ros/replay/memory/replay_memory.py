"""The memory from which a learner samples: rows of any number of runs, and what came of them.

Slots are given out in the order in which rows are fed, never by chunk, so the same rows in other
chunks give the same batches.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from porl_ros.replay.errors import RowsGone
from porl_ros.replay.memory.batch import Batch, Gathered, gather
from porl_ros.replay.memory.feeding import Episode, Feeder
from porl_ros.replay.memory.held_out import HeldOut
from porl_ros.replay.memory.history import Stretch
from porl_ros.replay.memory.ring import FINISHED, READY, SUCCESS, Ring
from porl_ros.replay.memory.sampling import Sampler
from porl_ros.replay.reading.follow import Chunk

__all__ = ["Batch", "Episode", "ReplayMemory"]

NEVER = 2**53  # an address beyond all
Replay = Callable[[str, int, int, int], Iterable[Chunk]]  # as ReplayReader.replay


class ReplayMemory:
    """Holds the newest `capacity` slots (a transition takes one, an episode's end one more). One
    thread."""

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        capacity: int,
        discount: float,
        seed: int,
        *,
        n_step: int = 1,
        recent_window: int = 10_000,
        prior: Self | None = None,
        budget: int = 2 << 30,
        scratch: Path | None = None,
    ):
        """`n_step`: how many rewards a transition sums up at most. `recent_window`: how many of the
        newest slots `recent_share` draws from. `prior`: another memory, of demonstrations for
        example, that `prior_share` draws from; what is fed here pushes nothing out of it.

        Takes `nbytes` as it fills: 4 * (observation_size + action_size) + 17 bytes a slot. Above
        `budget` bytes they lie in a file, without a name, in the folder `scratch`. Raises
        MemoryBudgetError if there is no room for it, ValueError for a setting out of range.
        """
        if not 0.0 <= discount <= 1.0:
            raise ValueError(f"discount: {discount} must be from 0 to 1")
        for name, value in {"n_step": n_step, "recent_window": recent_window}.items():
            if value < 1:
                raise ValueError(f"{name}: {value} must be at least 1")
        self.discount, self.n_step, self.recent_window = discount, n_step, recent_window
        self._ring = Ring(observation_size, action_size, capacity, budget, scratch)
        self._feeder, self._sampler = Feeder(self._ring), Sampler(self._ring)
        self._prior = prior
        if prior and prior._kind != self._kind:
            raise ValueError(f"prior: a memory of {prior._kind}, must be of {self._kind}")
        self._random = np.random.default_rng(seed)
        self.hold_out_every = 0  # n: keep one of n failures and one of n successes out
        self.multi_step_from = 0  # address: only rewards from here on are summed up; see `gather`
        self._held = HeldOut(self._ring)
        self._completed = {False: 0, True: 0}  # episodes, by success

    @property
    def _kind(self) -> dict[str, Any]:
        dtype = self._ring.slots.dtype
        sizes = {name: dtype[name].shape[0] for name in ("observation", "action")}
        return sizes | {"discount": self.discount, "n_step": self.n_step}

    @property
    def capacity(self) -> int:
        """Slots."""
        return self._ring.capacity

    @property
    def size(self) -> int:
        """Transitions that can be sampled."""
        return self._ring.size

    @property
    def nbytes(self) -> int:
        """What all slots take: in RAM or, if `mapped`, in the scratch folder."""
        return self._ring.nbytes

    @property
    def mapped(self) -> bool:
        return self._ring.mapped

    @property
    def finished(self) -> int:
        """Episodes completed so far."""
        return sum(self._completed.values())

    @property
    def refused(self) -> Counter[str]:
        """How often which field of what was fed was not finite. Such rows are left out, as if they
        had been lost."""
        return self._feeder.refused

    # Feeding

    def extend(self, chunk: Chunk) -> list[Episode]:
        """Add a chunk's rows; returns the episodes it completed, in order.

        A row can be sampled once its next observation is known: the next row of its episode, or
        its final. A row whose episode goes on elsewhere (a crash, rows lost) never can.
        """
        finished = self._feeder.feed(chunk)
        for episode, addresses, rewards in finished:
            self._mark(addresses, rewards, episode.success)
            self._completed[episode.success] += 1
            every = self.hold_out_every
            if every and self._completed[episode.success] % every == 0:
                self._held.add(addresses)
        return [episode for episode, _, _ in finished]

    def _mark(self, addresses: np.ndarray, rewards: np.ndarray, success: bool) -> None:
        alive = self._ring.alive(addresses)
        slots = alive % self.capacity
        returns = discounted_to_go(rewards, self.discount)
        self._ring.slots["mc_return"][slots] = returns[len(addresses) - len(alive) :]
        self._ring.flags[slots] |= FINISHED | (SUCCESS if success else 0)
        self._sampler.changed()

    def held_out(self) -> Batch:
        """Every transition that is held out, in order; (0, ...) if there is none."""
        return Batch.of([self._gather(self._held.slots())])

    def count_one_step(self) -> None:
        """Another policy acts: one reward a transition, until `count_several_steps`."""
        self.multi_step_from = NEVER

    def count_several_steps(self) -> None:
        """Up to `n_step` rewards a transition, of what is fed from now on."""
        self.multi_step_from = self._ring.given

    def release(self) -> None:
        """Let what is held out be sampled from now on, and hold out no more."""
        self._held.release()
        self._sampler.changed()
        self.hold_out_every = 0

    # Sampling

    def sample(
        self,
        batch_size: int,
        success_share: float = 0.0,
        finished_only: bool = False,
        *,
        recent_share: float = 0.0,
        prior_share: float = 0.0,
    ) -> Batch:
        """Draw with replacement: these shares of the batch, and the rest from all transitions, each
        uniformly.

        `success_share`: from successful episodes, `recent_share`: from the `recent_window` newest
        slots; from all if there is none. `prior_share`: from the `prior` memory. `finished_only`:
        only rows whose mc_return is known.

        Deterministic given the seed, the rows fed and the earlier calls. Raises ValueError if
        there is nothing to sample, or a share is out of range.
        """
        lucky, recent, prior = _split(
            batch_size,
            success_share=success_share,
            recent_share=recent_share,
            prior_share=prior_share,
        )
        flag = FINISHED if finished_only else READY
        draw, random = self._sampler.draw, self._random
        parts = [draw(random, lucky, SUCCESS)]
        if recent:
            parts.append(draw(random, recent, flag, self.recent_window))
        others = batch_size - prior - sum(map(len, parts))
        parts.append(draw(random, others, flag))
        if len(parts[-1]) < others:
            what = "finished episode" if finished_only else "transition"
            raise ValueError(f"batch_size: {batch_size} from a memory without a {what}; feed it")
        drawn = [self._gather(np.concatenate(parts))]
        if prior:
            drawn.append(self._draw_prior(prior, flag))
        return Batch.of(drawn)

    def _draw_prior(self, count: int, flag: int) -> Gathered:
        slots = self._prior._sampler.draw(self._random, count, flag) if self._prior else ()
        if len(slots) < count:
            raise ValueError("prior_share: there is no prior transition to draw; feed some first")
        return self._prior._gather(slots)

    def _gather(self, slots: np.ndarray) -> Gathered:
        return gather(self._ring, slots, self.discount, self.n_step, self.multi_step_from)

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """All but the rows, which the store has: the random generator's state, and in which order
        what is in the ring was fed. JSON-able. Its "cursor" is for a ReplayReader to go on from. A
        prior memory has a state of its own."""
        return {
            "random": self._random.bit_generator.state,
            "given": self._ring.given,
            "cursor": self._feeder.cursor,
            "fed": [list(stretch) for stretch in self._feeder.history()],
            "listed": self._sampler.stale(),
            "hold_out_every": self.hold_out_every,
            "multi_step_from": self.multi_step_from,
            "completed": [self._completed[False], self._completed[True]],
            "held_out": self._held.ranges(),
        }

    def load_state_dict(self, state: dict[str, Any], replay: Replay | None = None) -> None:
        """Go on exactly where `state_dict` was taken. `replay` (of a ReplayReader) feeds a new
        memory the rows that were in the ring; without it, the same rows have been fed already.

        Raises RowsGone if those rows are not all there any more; KeyError, ValueError or TypeError
        for anything that is not a state.
        """
        if replay:
            self._refill([Stretch(*values) for values in state["fed"]], replay)
        if self._ring.given != state["given"]:
            raise ValueError(
                f"state: taken after {state['given']} slots, this memory has had "
                f"{self._ring.given}; feed it the same rows first"
            )
        if replay:
            failures, successes = state["completed"]
            self._completed = {False: failures, True: successes}
            self._held.restore(state["held_out"])
            self.hold_out_every = state["hold_out_every"]
            self._feeder.cursor = state["cursor"]
        self.multi_step_from = state["multi_step_from"]
        self._sampler.restore(state["listed"])
        self._random.bit_generator.state = state["random"]

    def _refill(self, stretches: list[Stretch], replay: Replay) -> None:
        if self._ring.given:
            raise ValueError("state: rows come back to a new memory only; this one was fed before")
        self.hold_out_every = 0
        for stretch in stretches:
            self._ring.given = stretch.first
            for chunk in replay(*stretch[2:]):
                self.extend(chunk)
            if self._ring.given != stretch.end:
                raise RowsGone(
                    f"run: {stretch.run}: rows {stretch.first_row} to {stretch.next_row - 1} are "
                    "not what they were when the state was taken; begin with a new memory"
                )


def _split(batch_size: int, **shares: float) -> list[int]:
    """How many of a batch each share is; together never more than the batch."""
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"{name}: {share} must be from 0 to 1")
    if sum(shares.values()) > 1.0 + 1e-9:
        raise ValueError(f"shares: {shares} must not be above 1 together")
    counts, left = [], batch_size
    for share in shares.values():
        counts.append(min(left, round(batch_size * share)))
        left -= counts[-1]
    return counts


def discounted_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """G_t = r_t + discount * G_(t+1), with nothing after the last; (k,) to (k,)."""
    following = 0.0
    backwards = reversed(rewards.tolist())
    returns = [following := reward + discount * following for reward in backwards]
    return np.array(returns[::-1], np.float64)
