"""Tells the graph when the policy side goes back to an earlier policy, and the learner's link."""

import json
from collections.abc import Sequence

from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.policies.learner_link import LearnerLink
from porl_ros.nodes.policies.succession import Succession
from porl_ros.policy.canary import Ended
from porl_ros.policy.fallback import Fallback
from porl_ros.policy.guard import GoBack, NoRegretGuard
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Chunk
from porl_ros.replay.tools.episodes import own_episodes, returns


class NoRegret:
    """One per policy node; executor's thread. What it knows of its `past` it learns from the store,
    so that a restart forgets nothing. `robot`: its name there, by which the learner is told."""

    def __init__(
        self,
        node: PorlNode,
        robot: str,
        runtime: PolicyRuntime,
        link: LearnerLink,
        succession: Succession,
        past: Sequence[Chunk],
        horizon: int,
    ):
        guard = NoRegretGuard(node.settings.false_alarms)
        for episode in own_episodes(past, horizon):
            guard.observe(episode.policy_version, episode.success)
        self._node, self._robot = node, robot
        self._link, self._succession = link, succession
        self._runtime = runtime
        known = succession.returns
        self._fallback = Fallback(runtime, guard, returns(past) if known is None else known)
        self._returned = node.create_publisher(String, "policy/returned", messages.LATCHED)
        succession.withdraw = self._withdraw
        self._count()

    def resume(self) -> None:
        """Tell a learner that was away meanwhile which policy acts, if there was a return."""
        self._fallback.keep()
        if self._fallback.returns:
            self._publish(GoBack(self._runtime.version, "as before the policy node was started"))

    def policy_changed(self) -> None:
        """Another policy acts now."""
        self._fallback.keep()

    def episode_ended(self, version: int, success: bool) -> None:
        """Take in an episode; when it was one too many, an earlier policy acts from now on."""
        if verdict := self._fallback.episode_ended(version, success):
            self._went_back(verdict)

    def back_to_base(self, reason: str) -> int | None:
        """Let the base act from now on, whatever its outcomes: its version; None when it does
        already, and no other is on trial."""
        on_trial = self._succession.on_trial
        if (version := self._fallback.back_to_base()) is None and not on_trial:
            return None
        version = self._runtime.version if version is None else version
        self._went_back(GoBack(version, reason))
        return version

    def _went_back(self, verdict: GoBack) -> None:
        """With the policy that acted, one that is on trial is gone, too."""
        if ended := self._succession.drop(verdict.reason):
            self._fallback.withdraw(ended.candidate[0].manifest.version)
        self._count()
        self._succession.went_back(ended, verdict.reason)
        self._tell(verdict)

    def _withdraw(self, ended: Ended) -> None:
        """A policy has failed its trial: what grew from it is not tried either."""
        self._fallback.withdraw(ended.candidate[0].manifest.version)
        self._count()
        self._tell(GoBack(self._runtime.version, ended.why))

    def _count(self) -> None:
        self._link.returns = self._succession.returns = self._fallback.returns

    def _tell(self, verdict: GoBack) -> None:
        self._node.get_logger().error(
            f"back to policy version {verdict.version}: {verdict.reason}; the data are kept, and "
            "the learner goes on from there"
        )
        self._publish(verdict)

    def _publish(self, verdict: GoBack) -> None:
        content = {"robot": self._robot, **verdict._asdict(), "returns": self._fallback.returns}
        self._returned.publish(String(data=json.dumps(content)))
