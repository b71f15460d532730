"""Tells the graph when the policy side goes back to an earlier policy, and the learner's link."""

import json
from collections.abc import Sequence

from std_msgs.msg import String

from porl_ros.errors import ConfigError
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.learner_link import LearnerLink
from porl_ros.policy.fallback import Fallback
from porl_ros.policy.guard import GoBack, NoRegretGuard
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, Chunk
from porl_ros.replay.tools.episodes import episodes, returns


class NoRegret:
    """One per policy node; executor's thread. What it knows of the past it learns from the store,
    so that a restart forgets nothing."""

    def __init__(
        self,
        node: PorlNode,
        runtime: PolicyRuntime,
        link: LearnerLink,
        past: Sequence[Chunk],
        horizon: int,
    ):
        try:
            guard = NoRegretGuard(node.value("false_alarms"))
        except ValueError as error:
            raise ConfigError(f"parameter false_alarms: {error}") from None
        own = _own(past, horizon)
        for episode in episodes(past):
            if (episode.run, episode.number) in own:
                guard.observe(episode.policy_version, episode.success)
        self._node, self._link = node, link
        self._fallback = Fallback(runtime, guard, returns(past))
        self._returned = node.create_publisher(String, "policy/returned", messages.LATCHED)
        link.returns = self._fallback.returns

    def policy_changed(self) -> None:
        """Another policy acts now."""
        self._fallback.keep()

    def episode_ended(self, version: int, success: bool) -> None:
        """Take in an episode; when it was one too many, an earlier policy acts from now on."""
        if verdict := self._fallback.episode_ended(version, success):
            self._link.returns = self._fallback.returns
            self._tell(verdict)

    def back_to_base(self, reason: str) -> int | None:
        """Let the base act from now on, whatever its outcomes: its version; None when it does
        already."""
        if (version := self._fallback.back_to_base()) is not None:
            self._link.returns = self._fallback.returns
            self._tell(GoBack(version, reason))
        return version

    def _tell(self, verdict: GoBack) -> None:
        self._node.get_logger().error(
            f"back to policy version {verdict.version}: {verdict.reason}; the data are kept, and "
            "the learner goes on from there"
        )
        content = verdict._asdict() | {"returns": self._fallback.returns}
        self._returned.publish(String(data=json.dumps(content)))


def _own(past: Sequence[Chunk], horizon: int) -> set[tuple[str, int]]:
    """Run and number of the episodes that say something of the policy: nobody helped it, and it
    was not cut short."""
    ended, helped = set(), set()
    for chunk in past:
        rows = chunk.rows
        over = (rows["terminated"] > 0) | (rows["step"] == horizon - 1)
        for found, where in ((ended, over), (helped, rows["actor"] == Actor.HUMAN)):
            found |= {(chunk.run, int(number)) for number in rows["episode"][where]}
    return ended - helped
