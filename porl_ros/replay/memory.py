"""The packed ring in memory from which a learner samples.

A transition's next observation is not stored with it: `_next` names the slot that holds it, which
is the slot of the following row of the same run, or a slot of its own for the final observation of
an episode. So rows of several runs may lie in the ring in any mixture. Slots are given out in the
order in which rows are fed, never by chunk, so the same rows in other chunks give the same batches.
"""

from typing import Any, NamedTuple

import numpy as np

from porl_ros.replay.reader import Chunk

READY, FINISHED, SUCCESS = 1, 2, 4  # flags of a slot
NOWHERE = -1


class Batch(NamedTuple):
    """float32, C-contiguous. observation and next_observation (b, n), action (b, m), others (b,).

    The value of a transition is reward + discount * (1 - terminated) * value(next_observation).
    `terminated` is 1.0 where there is no future to value; a truncated transition is 0.0 and
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


class Episode(NamedTuple):
    """A completed episode, as far as it was fed. `ret` is the undiscounted sum of rewards."""

    run: str
    number: int
    length: int
    ret: float
    success: bool  # terminated, with a positive return
    policy_version: int  # of its first step


class _OpenEpisode:
    """The rows so far of a run's running episode; `addresses` count slots ever given out."""

    def __init__(self, number: int, policy_version: int):
        self.number, self.policy_version = number, policy_version
        self.addresses: list[np.ndarray] = []
        self.rewards: list[np.ndarray] = []
        self.last_terminated = False


class ReplayMemory:
    """Holds the newest `capacity` slots (a transition takes one, an episode's end one more). One
    thread."""

    def __init__(
        self, observation_size: int, action_size: int, capacity: int, discount: float, seed: int
    ):
        """Takes memory as it fills: 4 * (2 + observation_size + action_size) + 17 bytes a slot."""
        if capacity < 2:
            raise ValueError(f"capacity: {capacity} must be at least 2 slots")
        if not 0.0 <= discount <= 1.0:
            raise ValueError(f"discount: {discount} must be from 0 to 1")
        self.capacity, self.discount = capacity, discount
        self.size = 0
        self._observation = np.zeros((capacity, observation_size), np.float32)
        self._action = np.zeros((capacity, action_size), np.float32)
        self._scalars = np.zeros((capacity, 3), np.float32)  # reward, terminated, mc_return
        self._next = np.zeros(capacity, np.int64)
        self._flags = np.zeros(capacity, np.uint8)
        self._given = 0  # slots ever given out; slot = address % capacity
        self._open: dict[str, _OpenEpisode] = {}
        self._expected: dict[str, int] = {}  # number of each run's next row
        self._listed: dict[int, np.ndarray] = {}  # slots that had a flag when last looked up
        self._random = np.random.default_rng(seed)
        self.hold_out_every = 0  # n: keep one of n failures and one of n successes out
        self._held: list[tuple[np.ndarray, np.ndarray]] = []  # addresses and flags
        self._completed = {False: 0, True: 0}  # episodes, by success

    # Feeding

    def extend(self, chunk: Chunk) -> list[Episode]:
        """Add a chunk's rows; returns the episodes it completed, in order.

        A row can be sampled once its next observation is known: the next row of its episode, or
        its final. A row whose episode goes on elsewhere (a crash, rows lost) never can.
        """
        if self._expected.get(chunk.run, chunk.first_row) != chunk.first_row:
            self._open.pop(chunk.run, None)  # rows are missing in between
        # By where in the chunk their rows are; -1: the last row before it
        finals = {int(final["row"]) - chunk.first_row: final for final in chunk.finals}
        completed = [self._finish(chunk.run, finals[-1])] if -1 in finals else []
        rows = chunk.rows
        ends = set(np.flatnonzero(np.diff(rows["episode"])) + 1)
        ends |= {at + 1 for at in finals if 0 <= at < len(rows)} | {len(rows)}
        start = 0
        for end in sorted(ends):
            for part in range(start, end, self.capacity // 2):
                self._add(chunk.run, rows[part : min(end, part + self.capacity // 2)])
            if end - 1 in finals and end > 0:
                completed.append(self._finish(chunk.run, finals[end - 1]))
            start = end
        self._expected[chunk.run] = chunk.first_row + len(rows)
        return [episode for episode in completed if episode]

    def _add(self, run: str, rows: np.ndarray) -> None:
        """Add rows of one episode, at most half the capacity."""
        episode = self._open.get(run)
        number = int(rows["episode"][0])
        if episode is None or episode.number != number:
            episode = _OpenEpisode(number, int(rows["policy_version"][0]))
        addresses = self._allocate(len(rows))
        slots = addresses % self.capacity
        self._observation[slots] = rows["observation"]
        self._action[slots] = rows["action"]
        self._scalars[slots, 0] = rows["reward"]
        self._scalars[slots, 1] = rows["terminated"]
        self._scalars[slots, 2] = np.nan
        if episode.addresses:
            self._link(episode.addresses[-1][-1:], addresses[:1])
        self._link(addresses[:-1], addresses[1:])
        episode.addresses.append(addresses)
        episode.rewards.append(rows["reward"])
        episode.last_terminated = bool(rows["terminated"][-1])
        self._open[run] = episode

    def _allocate(self, count: int) -> np.ndarray:
        addresses = np.arange(self._given, self._given + count)
        self._given += count
        slots = addresses % self.capacity
        self.size -= int(np.count_nonzero(self._flags[slots] & READY))
        self._flags[slots] = 0
        self._next[slots] = NOWHERE
        return addresses

    def _alive(self, addresses: np.ndarray) -> np.ndarray:
        return addresses >= self._given - self.capacity

    def _link(self, addresses: np.ndarray, following: np.ndarray) -> None:
        """Make rows ready: `following` hold their next observations."""
        alive = self._alive(addresses)
        slots = addresses[alive] % self.capacity
        self._next[slots] = following[alive] % self.capacity
        self._flags[slots] |= READY
        self.size += len(slots)

    def _finish(self, run: str, final: np.void) -> Episode | None:
        """Close the run's open episode; None if its rows are not known."""
        episode = self._open.pop(run, None)
        if episode is None:
            return None
        address = self._allocate(1)
        self._observation[address % self.capacity] = final["observation"]
        self._link(episode.addresses[-1][-1:], address)
        rewards = np.concatenate(episode.rewards).astype(np.float64)
        result = float(rewards.sum())
        success = episode.last_terminated and result > 0
        addresses = np.concatenate(episode.addresses)
        self._mark(addresses, rewards, success)
        self._completed[success] += 1
        if self.hold_out_every and self._completed[success] % self.hold_out_every == 0:
            self._hold_out(addresses)
        length, version = len(rewards), episode.policy_version
        return Episode(run, episode.number, length, result, success, version)

    def _mark(self, addresses: np.ndarray, rewards: np.ndarray, success: bool) -> None:
        alive = self._alive(addresses)
        slots = addresses[alive] % self.capacity
        self._scalars[slots, 2] = discounted_to_go(rewards, self.discount)[alive]
        self._flags[slots] |= FINISHED | (SUCCESS if success else 0)
        self._listed.clear()

    @property
    def finished(self) -> int:
        """Episodes completed so far."""
        return sum(self._completed.values())

    # Holding out: episodes that are not learned from for now, to judge critics by

    def _hold_out(self, addresses: np.ndarray) -> None:
        addresses = addresses[self._alive(addresses)]
        slots = addresses % self.capacity
        self._held.append((addresses, self._flags[slots]))
        self._flags[slots] = 0
        self.size -= len(slots)

    def held_out(self) -> Batch:
        """Every transition that is held out, in order; (0, ...) if there is none."""
        parts = [addresses[self._alive(addresses)] for addresses, _ in self._held]
        return self._batch(np.concatenate([np.empty(0, np.int64), *parts]) % self.capacity)

    def release(self) -> None:
        """Let what is held out be sampled from now on, and hold out no more."""
        for addresses, flags in self._held:
            alive = self._alive(addresses)
            self._flags[addresses[alive] % self.capacity] |= flags[alive]
            self.size += int(np.count_nonzero(alive))
        self._held.clear()
        self._listed.clear()
        self.hold_out_every = 0

    # Sampling

    def sample(
        self, batch_size: int, success_share: float = 0.0, finished_only: bool = False
    ) -> Batch:
        """Draw with replacement, uniformly; `success_share` of the batch comes from successful
        episodes if there are any. `finished_only`: only rows whose mc_return is known.

        Deterministic given the seed, the rows fed and the earlier calls. Raises ValueError if
        there is nothing to sample.
        """
        if not 0.0 <= success_share <= 1.0:
            raise ValueError(f"success_share: {success_share} must be from 0 to 1")
        fortunate = self._draw(round(batch_size * success_share), SUCCESS)
        others = self._draw(batch_size - len(fortunate), FINISHED if finished_only else READY)
        if len(fortunate) + len(others) < batch_size:
            what = "finished episode" if finished_only else "transition"
            raise ValueError(f"batch_size: {batch_size} from a memory without a {what}; feed it")
        return self._batch(np.concatenate([fortunate, others]))

    def _batch(self, slots: np.ndarray) -> Batch:
        scalars = self._scalars[slots].T.copy()
        return Batch(
            observation=self._observation[slots],
            action=self._action[slots],
            reward=scalars[0],
            next_observation=self._observation[self._next[slots]],
            terminated=scalars[1],
            discount=np.full(len(slots), self.discount, np.float32),
            mc_return=scalars[2],
        )

    def _draw(self, count: int, flag: int) -> np.ndarray:
        """`count` slots that have a flag; none if no slot has it."""
        # Nearly every slot is ready: drawing from all of them, and again, beats looking them up
        candidates = None if flag == READY else self._list(flag)
        drawn = np.empty(count, np.int64)
        wrong = np.arange(count)
        while len(wrong):
            limit = min(self._given, self.capacity) if candidates is None else len(candidates)
            if limit == 0:
                return drawn[:0]
            picked = self._random.integers(limit, size=len(wrong))
            drawn[wrong] = picked if candidates is None else candidates[picked]
            again = wrong[(self._flags[drawn[wrong]] & flag) == 0]
            if 2 * len(again) > len(wrong):  # mostly in vain: look up which slots have it now
                self._listed.pop(flag, None)
                candidates = self._list(flag)
            wrong = again
        return drawn

    def _list(self, flag: int) -> np.ndarray:
        """The slots with a flag, from the last look-up; some may have lost it since."""
        if flag == READY:  # gained with every row, so an earlier look-up would leave out the newest
            return np.flatnonzero(self._flags & flag)
        if flag not in self._listed:
            self._listed[flag] = np.flatnonzero(self._flags & flag)
        return self._listed[flag]

    def state_dict(self) -> dict[str, Any]:
        """The state of the random generator, JSON-able. The rows are not in it: the store has
        them."""
        return {"random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`; raises KeyError or ValueError on anything else."""
        self._random.bit_generator.state = state["random"]


def discounted_to_go(rewards: np.ndarray, discount: float) -> np.ndarray:
    """G_t = r_t + discount * G_(t+1), with nothing after the last; (n,) to (n,)."""
    returns = np.empty(len(rewards), np.float64)
    following = 0.0
    for index in range(len(rewards) - 1, -1, -1):
        following = returns[index] = rewards[index] + discount * following
    return returns
