"""The way back of a running policy: earlier policies stay at hand, and act again when needed."""

from porl_ros.policy.guard import GoBack, NoRegretGuard
from porl_ros.policy.runtime import PolicyRuntime


class Fallback:
    """Joins the guard to the runtime that it may send back. Control thread; no I/O.

    The policies to which it may be sent back stay in memory, so that going back needs neither the
    disk nor the learner, and takes the very next step.
    """

    def __init__(self, runtime: PolicyRuntime, guard: NoRegretGuard, returns: int = 0):
        """`returns`: how often the store says that it has gone back already."""
        self._runtime, self.guard, self.returns = runtime, guard, returns
        self._first = runtime.loaded  # acts where the guard knows of one from before a restart
        self._kept = {runtime.version: runtime.loaded}

    def keep(self) -> None:
        """Call when another policy has begun to act."""
        self._kept[self._runtime.version] = self._runtime.loaded

    def episode_ended(self, version: int, success: bool) -> GoBack | None:
        """Take in an episode; when it was one too many, an earlier policy acts from now on."""
        verdict = self.guard.observe(version, success)
        if verdict and verdict.version < self._runtime.version:
            self._runtime.swap(self._kept.get(verdict.version, self._first))
            self.returns += 1
        keepers = self.guard.keepers | {self._runtime.version}
        self._kept = {version: kept for version, kept in self._kept.items() if version in keepers}
        return verdict

    def withdraw(self, version: int) -> None:
        """A policy did not pass its trial: it does not act again, nor does what grew from it."""
        self.guard.forget(version)
        self._kept.pop(version, None)
        self.returns += 1

    def back_to_base(self) -> int | None:
        """Let the policy of the beginning act: its version; None when it does already."""
        base = self._first[0].manifest.version
        if self._runtime.version == base:
            return None
        self._runtime.swap(self._first)
        self.returns += 1
        return base
