"""Which policy acts next: what is new is first on trial, where robot config and gate say so."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from porl_ros.errors import ConfigError, PorlError
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.policies.admission import GatedRuntime
from porl_ros.nodes.settings import PolicySettings
from porl_ros.policy.bundle import PolicyBundle
from porl_ros.policy.canary import Canary, Ended, Trial, Verdict
from porl_ros.policy.runtime import Loaded
from porl_ros.policy.swapping import in_thread
from porl_ros.robot.config import RobotConfig
from porl_ros.validation.audit import AuditError
from porl_ros.validation.trials import BEGUN, WENT_BACK, TrialLog


def _nothing(written: bool) -> None:
    """What most entries have to wait for."""


class Succession:
    """One per policy node. Executor's thread; the audit log is written by `thread`.

    `gate` tells the mode that is in force. `returns` is how often an earlier policy was let act
    again, as the log has it; None where it knows of no trial here. `on_ended` is called when a
    trial is over.
    """

    def __init__(
        self,
        node: PorlNode,
        config: RobotConfig,
        runtime: GatedRuntime,
        log: TrialLog,
        thread: ThreadPoolExecutor,
        gate: Callable[[], str],
    ):
        """Reads the log where the gate is on. Raises AuditError, and ConfigError in lock-step."""
        self._node, self._runtime, self._log = node, runtime, log
        self._thread, self._gate, self._settings = thread, gate, config.gate.canary
        _check(node.settings, gate(), self._settings.share)
        self._canary = Canary(runtime, self._settings, node.settings.seed)
        self._left = log.left() if gate() != "off" else None
        self.returns = self._left.returns if self._left else None
        self._episode: int | None = None
        self.on_ended: Callable[[Ended], None] = lambda ended: None
        self.withdraw: Callable[[Ended], None] = lambda ended: None  # what else that means

    @property
    def newest(self) -> int:
        """The highest version that acts or was offered."""
        return self._canary.newest

    def offer(self, loaded: Loaded) -> None:
        """A learner has made this one: it acts at once, or is tried where each must be admitted."""
        if self._settings.share and self._gate() == "every":
            self._canary.offer(loaded)
        else:
            self._runtime.swap(loaded)

    def deploy(self, loaded: Loaded) -> bool:
        """An operator wants this one from the next episode on; whether it is tried first."""
        tried = self._settings.share > 0.0 and self._gate() != "off"
        (self._canary.offer if tried else self._canary.install)(loaded)
        return tried

    def act_now(self, loaded: Loaded, reason: str) -> None:
        """An operator wants this one from the next step on."""
        self._runtime.swap(loaded)
        self.went_back(self.drop(reason), reason)

    @property
    def on_trial(self) -> PolicyBundle | None:
        """Which is, or passed and is about to be promoted."""
        loaded = self._canary.candidate or self._canary.passed
        return loaded[0] if loaded else None

    def before_step(self, episode: int) -> None:
        """Let the one act whose turn it is; policies on trial change with the episode only."""
        if episode == self._episode:
            return
        self._episode = episode
        if self._canary.running:  # the one before was cut short
            self.episode_ended(None)
        if self._canary.episode_begins():
            candidate, incumbent = self._canary.candidate, self._canary.incumbent
            self._say(f"policy version {_version(candidate)} is on trial in one of "
                      f"{self._settings.block} episodes beside {_version(incumbent)}")  # fmt: skip
            self._write(BEGUN, candidate, incumbent)

    def episode_ended(self, success: bool | None) -> None:
        """Take in an episode; None if it says nothing of the policy."""
        ended = self._canary.episode_ended(success)
        if ended is None:
            return
        if ended.verdict is Verdict.WITHDRAWN:
            self.withdraw(ended)
        self._settle(ended)

    def drop(self, reason: str) -> Ended | None:
        """An earlier policy acts from now on: nobody is tried any more. The trial if one was on;
        to be followed by `went_back`."""
        return self._canary.drop(reason)

    def went_back(self, ended: Ended | None, reason: str) -> None:
        """Write that down."""
        if ended:
            self._settle(ended)
        elif self._gate() != "off":
            self._write(WENT_BACK, self._runtime.loaded, self._runtime.loaded, reason)

    def resume(self) -> None:
        """Let the policy act that acted last; a trial that was on then begins anew if its policy is
        offered again. Blocks on the disk; before anything acts."""
        configured, left = self._runtime.loaded, self._left
        weights = configured[0].manifest.weights_sha256
        on_trial = left is not None and left.event == BEGUN and weights == left.candidate
        if left is None or not (on_trial or weights == left.base):
            return  # or it was configured with another policy since
        if left.acts != configured[0].path:
            try:
                self._runtime.swap(self._runtime.load(left.acts, by_operator=True))
            except (PorlError, OSError) as error:
                self._node.get_logger().error(f"what acted before cannot go on: {error}")
                return
        if on_trial:
            self._canary.offer(configured)

    def _settle(self, ended: Ended) -> None:
        self._say(f"policy version {_version(ended.candidate)} is {ended.verdict}: {ended.why}")
        promoted = ended.verdict is Verdict.PROMOTED
        acts = ended.candidate if promoted else self._runtime.loaded
        then = partial(self._promote, ended.candidate) if promoted else _nothing
        self._write(ended.verdict, ended.candidate, acts, ended.why, ended.trial, then)
        self.on_ended(ended)

    def _promote(self, loaded: Loaded, written: bool) -> None:
        """Once that is written down, or could not be."""
        self._canary.promote(loaded, written)
        if not written:
            self._say("what cannot be written down is not promoted; the present policy goes on")

    def _say(self, text: str) -> None:
        self._node.get_logger().warning(text)

    def _write(
        self, event: str, policy: Loaded, acts: Loaded, why: str = "",
        trial: Trial | None = None, then: Callable[[bool], None] = _nothing,
    ) -> None:  # fmt: skip
        entry = event, policy[0], acts[0], self.returns or 0, why, trial
        in_thread(self._thread, self._append, entry, then)

    def _append(self, entry: tuple, then: Callable[[bool], None]) -> None:
        """The thread's."""
        try:
            self._log.write(*entry)
            written = True
        except AuditError as error:
            self._node.get_logger().error(str(error))
            written = False
        self._node.call_soon(partial(then, written))


def _check(settings: PolicySettings, gate: str, share: float) -> None:
    granted = settings.mode == "lockstep" and settings.learner
    if granted and gate == "every" and share:
        raise ConfigError(
            f"gate.canary.share = {share:g}: in lock-step the learner says which policy takes "
            "which step, so none can be tried beside another; use mode:=paced, or set it to 0"
        )


def _version(loaded: Loaded) -> int:
    return loaded[0].manifest.version
