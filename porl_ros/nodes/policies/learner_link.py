"""What a policy node hears of its learner: new bundles, and in lock-step how far it may go."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from std_msgs.msg import Int64MultiArray, String

from porl_ros.learning.finetuning import WITHOUT_LIMIT, Grant
from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, steady_seconds
from porl_ros.nodes.policies.succession import Succession
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.policy.swapping import BundleLoader

PATIENCE = 5.0  # seconds after which a learner that fell silent is given up
START = 60.0  # seconds that it has to come up
WITHOUT_LEARNER = Grant(WITHOUT_LIMIT, 0, WITHOUT_LIMIT)


class LearnerLink:
    """Decides, step by step, whether the policy side may act and with which policy.

    Everything but reading bundles happens in the executor's thread. `on_news` is called there when
    a step that had to wait may now be possible. Without `grants` (paced) the newest bundle is
    offered to `succession` as soon as it is read by `thread`; with them (lock-step) the learner
    says which bundle takes which step. `robot`: by which name the learner knows this one.
    """

    def __init__(
        self,
        node: PorlNode,
        robot: str,
        runtime: PolicyRuntime,
        succession: Succession,
        thread: ThreadPoolExecutor,
        grants: bool,
        on_news: Callable[[], None],
    ):
        self._runtime, self._succession, self._on_news = runtime, succession, on_news
        self._log, self._robot = node.get_logger(), robot
        self._grant = Grant(0, 0, 0) if grants else WITHOUT_LEARNER
        self._coming: list[Grant] = []  # swaps that are granted and not done yet, in order
        self.returns = 0  # how often this robot has gone back; what was made before is stale
        self._until = steady_seconds() + START  # when to give the learner up
        self._loader = BundleLoader(
            runtime,
            thread,
            on_loaded=lambda: node.call_soon(on_news),
            on_refused=lambda error: self._log.error(f"the present policy goes on: {error}"),
            is_stale=lambda manifest: manifest.returns.get(self._robot, 0) < self.returns,
        )
        for topic in ("learner/bundle", "gate/admitted"):  # once made; once the gate let it pass
            node.create_subscription(String, topic, self._on_bundle, messages.LATCHED_EVENTS)
        if grants:
            node.create_subscription(
                Int64MultiArray, "learner/grant", self._on_grant, messages.LATCHED_EVENTS
            )

    def grants(self, step: int) -> bool:
        """Whether this step of the store may be taken."""
        return step < self._grant.until

    def prepare(self, step: int) -> bool:
        """Swap if it is time; False when this step needs a bundle that is not read yet."""
        if self._grant is WITHOUT_LEARNER:
            if loaded := self._loader.newest(self._succession.newest):
                self._succession.offer(loaded)
            return True
        due = [grant for grant in self._coming if grant.since <= step]
        wanted = due[-1].version if due else self._runtime.version
        # A learner that goes on from a checkpoint may be behind: versions only rise.
        if wanted > self._runtime.version and not self._loader.swap_to(wanted):
            return False
        self._coming = self._coming[len(due) :]
        return True

    def check(self) -> None:
        """Called now and then: a grant that is not renewed expires into going on without it."""
        if self._grant is WITHOUT_LEARNER:
            return
        if steady_seconds() > self._until:
            self._log.warning("no word from the learner: going on without it")
            self._grant = WITHOUT_LEARNER
            self._on_news()
        elif self._grant.until == 0:
            self._log.info("waiting for the learner", throttle_duration_sec=5.0)

    def _on_grant(self, message: Int64MultiArray) -> None:
        if len(message.data) != 3:
            self._log.error("learner/grant: must hold until, version, since; ignored")
            return
        before = self._grant.version
        self._grant, self._until = Grant(*message.data), steady_seconds() + PATIENCE
        if self._grant.version != before:
            self._coming.append(self._grant)
        self._on_news()

    def _on_bundle(self, message: String) -> None:
        try:
            self._loader.request(str(json.loads(message.data)["path"]))
        except (ValueError, KeyError, TypeError, RecursionError):  # however deep it is nested
            self._log.error("a bundle's announcement is not JSON with a path; ignored")
