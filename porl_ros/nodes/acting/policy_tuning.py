"""What an operator may change of a policy node that acts, and what becomes of it.

All of it is a few assignments in the control thread, between two steps.
"""

from porl_ros.errors import ConfigError
from porl_ros.nodes.acting.watchdog import Watchdogs
from porl_ros.nodes.acting.watchdog_table import reactions
from porl_ros.nodes.people.takeover import Takeover
from porl_ros.nodes.policies.admission import MODES, GatedRuntime
from porl_ros.nodes.settings import PolicySettings
from porl_ros.robot.controller import Controller


class PolicyTuning:
    """Of one configured policy node; executor's thread."""

    def __init__(
        self,
        runtime: GatedRuntime,
        controller: Controller,
        watchdogs: Watchdogs,
        takeover: Takeover,
    ):
        self._runtime, self._controller = runtime, controller
        self._watchdogs, self._takeover = watchdogs, takeover

    def check(self, before: PolicySettings, wanted: PolicySettings) -> None:
        """Raise ConfigError for a change that must wait for the next configure."""
        if _strictness(wanted.gate) < _strictness(before.gate):
            raise ConfigError(
                f"gate = '{wanted.gate}': '{before.gate}' is in force and can only be tightened "
                "while the node is configured"
            )
        if (wanted.takeover_timeout > 0) != (before.takeover_timeout > 0):
            raise ConfigError(
                f"takeover_timeout = {wanted.takeover_timeout}: whether anybody may take over is "
                "settled at configure; deactivate and clean up first"
            )

    def apply(self, settings: PolicySettings) -> None:
        """From the next step on."""
        self._runtime.explore = settings.explore
        if settings.gate in MODES:
            self._runtime.tighten(settings.gate)
        self._watchdogs.tune(
            reactions(settings.watchdog), settings.late_tick, settings.inference_deadline
        )
        self._takeover.tune(settings.takeover_timeout)
        self._controller.scale(settings.velocity_scale, settings.acceleration_scale)


def _strictness(gate: str) -> int:
    return MODES.index(gate) if gate in MODES else 0  # `config` asks for nothing by itself
