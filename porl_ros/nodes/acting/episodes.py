"""Asks for episodes, and tells the graph what they came to and which policy acts."""

from collections.abc import Callable

from std_msgs.msg import Bool, Float64, Int64

from porl_ros.nodes import messages
from porl_ros.nodes.acting.interaction import EpisodeResult, Interaction
from porl_ros.nodes.acting.resets import ResetClient
from porl_ros.nodes.acting.resetting import Resetting
from porl_ros.nodes.base import PorlNode, steady_seconds
from porl_ros.nodes.policies.no_regret import NoRegret
from porl_ros.nodes.policies.succession import Succession
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import SEEDS_APART


class Episodes:
    """One per policy node. Executor's thread.

    `first_stamp` is that of the episode's first samples, None while none has begun.
    `on_begun` is called when one has, and `now` gives the stamp of one that begins where the robot
    is: no earlier samples are of it.
    """

    def __init__(
        self,
        node: PorlNode,
        config: RobotConfig,
        interaction: Interaction,
        runtime: PolicyRuntime,
        seed: int,
    ):
        self._interaction, self._runtime, self._seed = interaction, runtime, seed
        self._log, self._then = node.get_logger(), config.reset.then
        self.resetting = Resetting(config, self._log.warning)
        self.on_begun: Callable[[], None] = lambda: None
        self.now: Callable[[], int] = lambda: 0
        self.first_stamp: int | None = None
        self.no_regret: NoRegret | None = None
        self.succession: Succession | None = None
        self._resets = ResetClient(node, steady_seconds, self._begin_elsewhere)
        self._version = node.create_publisher(Int64, "policy/version", messages.LATCHED)
        self._announced: int | None = None
        self._steps = node.create_publisher(Int64, "policy/steps", messages.LATCHED)
        self._success = node.create_publisher(Bool, "policy/episode_success", messages.EVENTS)
        self._rate = node.create_publisher(Float64, "policy/success_rate", messages.EVENTS)

    def ask(self) -> None:
        """Ask for the next one; call again now and then until it has begun."""
        self.first_stamp = None
        self.resetting.start()
        if not self.resetting.ready:
            return
        if self._then == "simulation":
            self._resets.ask(self._seed * SEEDS_APART + self._interaction.episode + 1)
        elif self._then == "begin":
            if self._interaction.standing:
                self.begin(self.now())
        else:
            self._log.warning(
                "waiting for the operator: reset the cell, then call the service reset_done",
                throttle_duration_sec=10.0,
            )

    @property
    def robot_is_placed(self) -> bool:
        """By a simulation, wherever it is and however it moves."""
        return self._then == "simulation"

    @property
    def waiting_for(self) -> str:
        """What the next one waits for: `reset` (the robot moves), `operator` or `episode`."""
        if self.resetting.going:
            return "reset"
        by_operator = self.resetting.stuck or self._then == "operator"
        return "operator" if by_operator else "episode"

    def reset_done(self) -> tuple[bool, str]:
        """The operator has reset the cell: the next one begins where the robot is, or the script
        is tried again. Whether that was waited for, and what happens now."""
        if self.first_stamp is not None:
            return False, "an episode runs; end_episode ends it"
        if self.resetting.stuck:
            self.resetting.stop()
            return True, "going to the waypoints again"
        if self._then != "operator":
            return False, f"nobody waits for it: the robot config says reset.then = {self._then}"
        if not self.resetting.ready:
            return False, "the robot is still on its way to the last waypoint; wait until it stands"
        if self._interaction.moving or not self._interaction.standing:
            return False, "the robot still moves; let go, and call again when it stands"
        self._interaction.moved()
        self.begin(self.now())
        return True, "the next episode begins"

    def drop(self) -> None:
        """None runs any more, and what was asked for is not wanted any more."""
        self.first_stamp = None
        self.resetting.stop()
        self._resets.cancel()

    def ended(self, result: EpisodeResult) -> None:
        """Tell what an episode came to."""
        self.first_stamp = None
        self._success.publish(Bool(data=result.success))
        self._rate.publish(Float64(data=self._interaction.recent_success))
        self.tell_steps()
        if self.no_regret and result.own:
            self.no_regret.episode_ended(result.policy_version, result.success)
        if self.succession:
            self.succession.episode_ended(result.success if result.own else None)

    def tell_steps(self) -> None:
        """Tell how many control steps were taken."""
        self._steps.publish(Int64(data=self._interaction.steps))

    @property
    def version(self) -> int:
        """Of the policy that acts."""
        return self._runtime.version

    def choose_policy(self) -> None:
        """Before each step: let the one act whose turn it is, and tell which."""
        if self.succession:
            self.succession.before_step(self._interaction.episode)
        self.tell_version()

    def tell_version(self) -> None:
        """Tell which policy acts, if it is another one than before."""
        if self.version == self._announced:
            return
        self._announced = self.version
        if self.no_regret:
            self.no_regret.policy_changed()
        self._version.publish(Int64(data=self._announced))

    def begin(self, stamp: int) -> None:
        """One begins with the first samples of this stamp or later."""
        self.resetting.stop()
        self.first_stamp = stamp
        self.on_begun()

    def _begin_elsewhere(self, stamp: int) -> None:
        self._interaction.moved()
        self.begin(stamp)
