"""Serving a policy: inference, exploration, and swapping to another bundle between two steps."""

from pathlib import Path

import numpy as np
import torch

from porl_ros.errors import ConfigError
from porl_ros.policy.bundle import PolicyBundle, load_bundle
from porl_ros.policy.network import TorchActor
from porl_ros.policy.sanity import InsanePolicy, check_outputs
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import ObservationAssembler

RECENT = 128  # observations on which a bundle is judged before it may act
Loaded = tuple[PolicyBundle, object]  # a bundle, and what infers with it


def resolve_device(name: str) -> str:
    """'auto', 'cpu' or 'cuda' -> 'cpu' or 'cuda'. ConfigError for cuda where there is none."""
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device = '{name}': must be auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device = 'cuda': torch sees no GPU here; use auto or cpu")
    return "cuda" if available and name != "cpu" else "cpu"


class PolicyRuntime:
    """The policy that acts. `load` may run in any thread; `act` and `swap` in the control thread.

    Exploration is Gaussian noise in action space with the standard deviation of the bundle, so
    that what acts is exactly what a gate has judged. Seeded.
    """

    def __init__(
        self, config: RobotConfig, device: str = "cpu", explore: bool = True, seed: int = 0
    ):
        self._config, self._device = config, resolve_device(device)
        self._rng = np.random.default_rng(seed)
        self.explore = explore  # control thread
        self._bundle: PolicyBundle | None = None
        self._infer = None
        self._recent = np.zeros((RECENT, ObservationAssembler(config).size), np.float32)
        self._acted = 0  # how often

    def load(self, path: Path | str) -> Loaded:
        """Read, verify and warm up a bundle, without touching the one that acts.

        Once something has acted, what the new one would have done is judged, too: InsanePolicy.
        """
        bundle = load_bundle(path, self._config)
        self._judge(bundle)
        on_gpu = self._device != "cpu"
        infer = TorchActor(bundle.actor, self._device) if on_gpu else bundle.actor.for_control()
        infer(np.zeros(bundle.manifest.observation_size, np.float32))
        return bundle, infer

    def _judge(self, bundle: PolicyBundle) -> None:
        recent = self._recent[: self._acted].copy()
        recent = recent[np.isfinite(recent).all(1)]
        if not len(recent):
            return
        try:
            check_outputs(bundle.actor, self._bundle.actor, recent)
        except InsanePolicy as error:
            raise InsanePolicy(f"{bundle.path}: refused before it may act: {error}") from None

    def swap(self, loaded: Loaded) -> None:
        """Let a loaded bundle act from the next step on: two assignments, no waiting."""
        self._bundle, self._infer = loaded

    @property
    def loaded(self) -> Loaded:
        """What acts, as `swap` takes it."""
        return self._bundle, self._infer

    @property
    def version(self) -> int:
        """Version of the bundle that acts."""
        return self._bundle.manifest.version

    @property
    def bundle(self) -> PolicyBundle:
        """The bundle that acts."""
        return self._bundle

    @property
    def exploration_std(self) -> float:
        """Of the noise that is added, in units of the action box."""
        return self._bundle.manifest.exploration_std if self.explore else 0.0

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Action (m,) float32 for an observation (k,) float32; may lie outside [-1, 1]."""
        self._recent[self._acted % RECENT] = observation
        self._acted += 1
        mean = self._infer(observation)
        std = self.exploration_std
        if std == 0.0:
            return mean
        return mean + std * self._rng.standard_normal(len(mean), dtype=np.float32)
