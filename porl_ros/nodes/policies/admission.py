"""What the gate lets onto a robot: asked before a policy may act, whoever offers it."""

from porl_ros.nodes.base import PorlNode
from porl_ros.policy.bundle import Manifest, PolicyBundle
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.robot.config import RobotConfig
from porl_ros.validation import audit
from porl_ros.validation.admission import NotAdmitted, verify

MODES = ("off", "initial", "every")  # from the mildest to the strictest
AGAIN = 60.0  # seconds after which it is said again that the gate is off


def mode_in_force(asked: str, config: RobotConfig, before: str = "off") -> str:
    """The strictest of what the config says of a physical robot, what the parameter `gate` asks
    for, and what was in force `before` in this process."""
    configured = config.gate.mode if config.physical else "off"
    return max(configured, asked if asked in MODES else "off", before, key=MODES.index)


def warn_while_off(node: PorlNode, config: RobotConfig, mode: str) -> None:
    """A physical robot without a gate: that is said loudly, and again and again."""
    if not config.physical or mode != "off":
        return

    def warn() -> None:
        node.get_logger().error(
            f"THE GATE IS OFF: {config.name} runs what nobody has checked, as "
            "gate.i_accept_an_unchecked_policy of its config says"
        )

    warn()
    node.steady_timer(AGAIN, warn)


class GatedRuntime(PolicyRuntime):
    """A runtime that reads no bundle that may not act. `initial`: the first must be admitted;
    `every`: whatever is read later, too."""

    def __init__(self, mode: str, config: RobotConfig, device: str, explore: bool, seed: int):
        super().__init__(config, device, explore, seed)
        self._mode, self._robot = mode, config

    @property
    def mode(self) -> str:
        """Of the gate, in force."""
        return self._mode

    def tighten(self, mode: str) -> None:
        """Ask for more of what is read from now on. What acts is not asked again."""
        self._mode = max(self._mode, mode, key=MODES.index)

    def load(self, path, by_operator: bool = False):
        """As PolicyRuntime.load; raises NotAdmitted, too, and AuditError. Any thread. What an
        operator deploys is asked like the first."""
        loaded = super().load(path)
        chosen = by_operator or self.bundle is None  # and not made by a learner
        if self._mode == "every" or (chosen and self._mode == "initial"):
            self._require_admission(loaded[0], candidate=not chosen)
        elif chosen and self._robot.physical:
            audit.append("unchecked policy loaded", **self._facts(loaded[0]))
        return loaded

    def _require_admission(self, bundle: PolicyBundle, candidate: bool) -> None:
        """What was loaded, and not only what lies on disk now, must be what was judged."""
        admission = verify(bundle.path, self._robot, candidate)
        if Manifest.model_validate_json(admission.manifest) != bundle.manifest:
            raise NotAdmitted(
                "exchanged",
                f"{bundle.path}: not admitted: it was exchanged while it was being read",
            )
        audit.append("admitted policy loaded", **self._facts(bundle))

    def _facts(self, bundle: PolicyBundle) -> dict:
        return {
            "robot": self._robot.name,
            "gate": self._mode,
            "bundle": str(bundle.path),
            "version": bundle.manifest.version,
            "weights_sha256": bundle.manifest.weights_sha256,
        }
