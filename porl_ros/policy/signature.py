"""What a policy that comes from elsewhere takes and gives, in the words of the contract."""

from typing import Literal

import numpy as np
from pydantic import FiniteFloat, PositiveFloat

from porl_ros.configfile import StrictModel
from porl_ros.errors import ConfigError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import ObservationAssembler, action_names

Activation = Literal["relu", "tanh", "elu", "silu", "gelu", "leaky_relu"]


class Signature(StrictModel):
    """All of it may be left out: then the policy takes the contract's observation as it is, and
    gives its action.

    `observation`: the elements that the policy takes, in its order. `mean`, `std`: it was trained
    on (element - mean) / std. `action`: the elements that it gives, in its order. `action_scale`:
    what it gives times this is the contract's action, 1 being the whole of a step. For layers only:
    `activation` between them, `squash` (a tanh after the last), `layers` (their names in order).
    """

    observation: tuple[str, ...] | None = None
    mean: tuple[FiniteFloat, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None
    action: tuple[str, ...] | None = None
    action_scale: FiniteFloat | tuple[FiniteFloat, ...] = 1.0
    activation: Activation | None = None
    squash: bool | None = None
    layers: tuple[str, ...] | None = None


class Wiring:
    """A signature, found to fit a contract."""

    def __init__(self, signature: Signature, config: RobotConfig):
        """Raises ConfigError that names the key."""
        ours, actions = ObservationAssembler(config).names, action_names(config)
        taken, given = signature.observation or ours, signature.action or actions
        _require_names("observation", taken, ours)
        _require_names("action", given, actions)
        if missing := [name for name in actions if name not in given]:
            raise ConfigError(f"signature.action: nobody gives {', '.join(missing)}; add it")
        self.observation_size, self.action_size = len(ours), len(actions)
        self.taken = [ours.index(name) for name in taken]  # by element of the policy's input
        self.given = [actions.index(name) for name in given]  # by element of its output
        self.mean = _numbers("mean", signature.mean, len(taken), 0.0)
        self.std = _numbers("std", signature.std, len(taken), 1.0)
        scale = signature.action_scale
        scale = (scale,) * len(given) if isinstance(scale, float) else scale
        self.scale = _numbers("action_scale", scale, len(given), 1.0)

    def require_sizes(self, takes: int, gives: int) -> None:
        """ConfigError when the policy itself is of other sizes."""
        if takes != len(self.taken):
            raise ConfigError(
                f"signature.observation: names {len(self.taken)} elements and the policy takes "
                f"{takes}; name those, in the policy's order"
            )
        if gives != len(self.given):
            raise ConfigError(
                f"signature.action: names {len(self.given)} elements and the policy gives {gives}; "
                "name those, in the policy's order"
            )

    def selection(self) -> tuple[np.ndarray, np.ndarray]:
        """Weight (k, n) and bias (k,) that make the policy's input of the contract's."""
        weight = np.zeros((len(self.taken), self.observation_size), np.float32)
        weight[np.arange(len(self.taken)), self.taken] = 1.0 / self.std
        return weight, -self.mean / self.std

    def arrangement(self) -> np.ndarray:
        """Weight (m, m) that makes the contract's action of the policy's output."""
        weight = np.zeros((self.action_size, len(self.given)), np.float32)
        weight[self.given, np.arange(len(self.given))] = self.scale
        return weight


def _require_names(key: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"signature.{key}: the contract has no '{name}'; it has {', '.join(known)}"
            )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"signature.{key}: {', '.join(twice)} stands more than once")


def _numbers(key: str, values: tuple | None, size: int, default: float) -> np.ndarray:
    if values is None:
        return np.full(size, default, np.float32)
    if len(values) != size:
        raise ConfigError(
            f"signature.{key}: {len(values)} numbers for {size} elements; give {size}"
        )
    return np.array(values, np.float32)
