"""Asks for episodes, and tells the graph what they came to and which policy acts."""

from collections.abc import Callable

from std_msgs.msg import Bool, Float64, Int64

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode, steady_seconds
from porl_ros.nodes.interaction import EpisodeResult, Interaction
from porl_ros.nodes.no_regret import NoRegret
from porl_ros.nodes.resets import ResetClient
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.simulation.env import SEEDS_APART


class Episodes:
    """One per policy node. Executor's thread.

    `first_stamp` is that of the episode's first samples, None while none has begun.
    `on_begun` is called when one has.
    """

    def __init__(self, node: PorlNode, interaction: Interaction, runtime: PolicyRuntime, seed: int):
        self._interaction, self._runtime, self._seed = interaction, runtime, seed
        self.on_begun: Callable[[], None] = lambda: None
        self.first_stamp: int | None = None
        self.no_regret: NoRegret | None = None
        self._resets = ResetClient(node, steady_seconds, self._begin)
        self._version = node.create_publisher(Int64, "policy/version", messages.LATCHED)
        self._announced: int | None = None
        self._steps = node.create_publisher(Int64, "policy/steps", messages.LATCHED)
        self._success = node.create_publisher(Bool, "policy/episode_success", messages.EVENTS)
        self._rate = node.create_publisher(Float64, "policy/success_rate", messages.EVENTS)

    def ask(self) -> None:
        """Ask for the next one; call again now and then until it has begun."""
        self.first_stamp = None
        self._resets.ask(self._seed * SEEDS_APART + self._interaction.episode + 1)

    def drop(self) -> None:
        """None runs any more, and what was asked for is not wanted any more."""
        self.first_stamp = None
        self._resets.cancel()

    def ended(self, result: EpisodeResult) -> None:
        """Tell what an episode came to."""
        self.first_stamp = None
        self._success.publish(Bool(data=result.success))
        self._rate.publish(Float64(data=self._interaction.recent_success))
        self.tell_steps()
        if self.no_regret:
            self.no_regret.episode_ended(result.policy_version, result.success)

    def tell_steps(self) -> None:
        """Tell how many control steps were taken."""
        self._steps.publish(Int64(data=self._interaction.steps))

    @property
    def version(self) -> int:
        """Of the policy that acts."""
        return self._runtime.version

    def tell_version(self) -> None:
        """Tell which policy acts, if it is another one than before."""
        if self.version == self._announced:
            return
        self._announced = self.version
        if self.no_regret:
            self.no_regret.policy_changed()
        self._version.publish(Int64(data=self._announced))

    def _begin(self, stamp: int) -> None:
        self.first_stamp = stamp
        self.on_begun()
