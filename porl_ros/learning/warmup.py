"""Between pre-sample stage and online updates: the critics learn what the frozen policy is worth.

How long is not guessed: some episodes of the pre-sample stage are held out, and each phase ends
when the critics' error on them has stopped falling.
"""

import math

import numpy as np
import torch
from torch import Tensor

from porl_ros.learning.books import HELD_OUT, State
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import Porl
from porl_ros.replay.memory.replay_memory import Batch, ReplayMemory

CHECK_EVERY = 250  # updates between two looks at the held-out error: 1 % of the time
HOLD_OUT_EVERY = 5  # of five failures, and of five successes, one is held out
ENOUGH = 0.99  # an error above this share of the best one so far is no improvement


class CriticWarmup:
    """Critic updates on the frozen policy's data: Monte-Carlo returns first, TD targets then.

    Monte-Carlo targets reach the right scale within a few hundred updates and then learn the
    noise of single episodes by heart; TD targets go on from there (docs/algorithm.md has the
    curves). A phase ends after `warmup_patience` checks without improvement, or at its
    `warmup_*_updates`. Without episodes to hold out, both run to their limits. One thread.
    """

    def __init__(self, porl: Porl, memory: ReplayMemory, config: PorlConfig):
        self._porl, self._memory, self.config = porl, memory, config
        self.updates = 0
        self.error = float("nan")  # see `critic_error`; of the last check
        self._phase_updates = 0
        self._phases = [(True, config.warmup_mc_updates), (False, config.warmup_td_updates)]
        self._best, self._checks_since = math.inf, 0
        self._held_out: Batch | None = None
        memory.hold_out_every = HOLD_OUT_EVERY if self.limit else 0
        memory.count_one_step()
        self._skip_finished_phases()

    @property
    def done(self) -> bool:
        return not self._phases

    @property
    def limit(self) -> int:
        """Updates after which it ends at the latest, counted from its begin."""
        return self.updates - self._phase_updates + sum(limit for _, limit in self._phases)

    def update(self) -> Tensor:
        """One critic update; the loss. Call while not `done`, with transitions in the memory.

        Raises DivergedError.
        """
        monte_carlo = self._phases[0][0] and self._memory.finished > 0
        # Successes drawn more often than they happen would bias Monte-Carlo values upwards.
        share = 0.0 if monte_carlo else self.config.success_share
        batch = self._memory.sample(self.config.batch_size, share, finished_only=monte_carlo)
        loss = self._porl.update_critics(batch, monte_carlo)
        self.updates += 1
        self._phase_updates += 1
        converged = self._phase_updates % CHECK_EVERY == 0 and self._converged()
        if converged or self._phase_updates >= self._phases[0][1]:
            self._end_phase()
        return loss

    def state_dict(self) -> State:
        """Where it is, and the held-out transitions that it is judged by."""
        held_out = self._held_out or self._nothing()
        data = {f"{HELD_OUT}{k}": torch.from_numpy(v) for k, v in held_out._asdict().items()}
        errors = {"error": self.error, "best_error": self._best}
        data |= {name: torch.tensor(value, dtype=torch.float64) for name, value in errors.items()}
        books = {
            "updates": self.updates,
            "phase_updates": self._phase_updates,
            "phases": len(self._phases),
            "checks_since": self._checks_since,
            "judged": self._held_out is not None,
        }
        return State({"data": data}, {"warmup": books})

    def load_state_dict(self, state: State) -> None:
        """Go on exactly where `state_dict` was taken; the memory is restored by itself."""
        books, data = state.books["warmup"], state.tensors["data"]
        self.updates, self._phase_updates = books["updates"], books["phase_updates"]
        self._checks_since = books["checks_since"]
        self._phases = self._phases[len(self._phases) - books["phases"] :]
        self.error, self._best = data["error"].item(), data["best_error"].item()
        held_out = Batch(*(data[f"{HELD_OUT}{name}"].numpy() for name in Batch._fields))
        self._held_out = held_out if books["judged"] else None

    def _nothing(self) -> Batch:
        sizes = self._porl.actor.observation_size, self._porl.actor.action_size
        widths = {"observation": sizes[0], "action": sizes[1], "next_observation": sizes[0]}
        shapes = [(0, widths[name]) if name in widths else (0,) for name in Batch._fields]
        return Batch(*(np.zeros(shape, np.float32) for shape in shapes))

    def _converged(self) -> bool:
        if self._held_out is None:
            self._held_out = self._memory.held_out()
        self.error = critic_error(self._porl, self._held_out)
        if math.isnan(self.error):
            return False
        improved = self.error < ENOUGH * self._best
        self._best = min(self._best, self.error)
        self._checks_since = 0 if improved else self._checks_since + 1
        return self._checks_since >= self.config.warmup_patience

    def _end_phase(self) -> None:
        self._phases.pop(0)
        self._phase_updates, self._best, self._checks_since = 0, math.inf, 0
        self._skip_finished_phases()

    def _skip_finished_phases(self) -> None:
        while self._phases and self._phases[0][1] == 0:
            self._phases.pop(0)
        if self.done:
            self._memory.release()
            self._memory.count_several_steps()


def critic_error(porl: Porl, batch: Batch) -> float:
    """Mean squared difference between the critics' mean and Monte-Carlo returns, in units of the
    returns' variance: 1 is as good as knowing their mean. NaN where there is nothing to tell.
    """
    returns = batch.mc_return
    if len(returns) == 0:
        return float("nan")
    error = float(np.mean((porl.value(batch) - returns) ** 2))
    variance = float(np.var(returns))
    return error / variance if variance > 1e-6 else float("nan")
