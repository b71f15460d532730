"""From samples of the robot's sensors to the flat observation vector that a policy sees."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.robot.config import Feature, RobotConfig


class Sample(NamedTuple):
    """The latest reading of one source: ROS time in ns, and its signals as float64 arrays."""

    stamp: int
    values: Mapping[str, np.ndarray]


Samples = Mapping[str, Sample]


@dataclass
class Signals:
    """All that a feature may refer to, by name; what is derived is added by the controller."""

    names: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, config: RobotConfig) -> "Signals":
        names = {
            f"{source.name}.{field}": elements
            for source in config.observation.sources
            for field, elements in source.signals.items()
        }
        axes = ("x", "y", "z")
        names |= {"tool.position": axes, "target.position": axes}
        names["last_action"] = action_names(config)
        return cls(names)

    def require(self, signal: str, key: str, size: int | None = None) -> tuple[str, ...]:
        """Names of the signal's elements; ConfigError lists what there is (of that `size`)."""
        if signal not in self.names:
            raise ConfigError(f"{key} = '{signal}': no such signal; have {self._listed(size)}")
        names = self.names[signal]
        if size is not None and len(names) != size:
            raise ConfigError(
                f"{key} = '{signal}': has {len(names)} elements and {size} are needed; "
                f"take one of {self._listed(size)}"
            )
        return names

    def _listed(self, size: int | None) -> str:
        return ", ".join(sorted(n for n, e in self.names.items() if size is None or len(e) == size))


def action_names(config: RobotConfig) -> tuple[str, ...]:
    """The elements of an action, in order."""
    action = config.action
    axes = action.axes or config.kinematics.joints
    return axes + (("gripper",) if action.gripper else ())


class ObservationAssembler:
    """Computes the features of a contract, always in the same order and as float32."""

    def __init__(self, config: RobotConfig):
        """ConfigError when a feature refers to a signal or an element that does not exist."""
        signals = Signals.of(config)
        self._blocks = [_Block(i, f, signals) for i, f in enumerate(config.observation.features)]
        self.names = tuple(name for block in self._blocks for name in block.names)
        self.units = tuple(block.feature.unit for block in self._blocks for _ in block.names)

    @property
    def size(self) -> int:
        return len(self.names)

    def reset(self) -> None:
        """Forget the previous values, at the begin of an episode: the first change is zero."""
        for block in self._blocks:
            block.previous = None

    def assemble(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """The observation, float32 of shape (size,), from the current value of every signal."""
        return np.concatenate([block(values) for block in self._blocks]).astype(np.float32)


class _Block:
    def __init__(self, index: int, feature: Feature, signals: Signals):
        key = f"observation.features[{index}]"
        elements = signals.require(feature.signal, f"{key}.signal")
        self._select = _selection(feature, elements, key)
        chosen = elements if self._select is None else tuple(elements[i] for i in self._select)
        if feature.minus:
            signals.require(feature.minus, f"{key}.minus", len(elements))
        self.feature = feature
        self.names = tuple(f"{feature.name}.{element}" for element in chosen)
        self.previous: np.ndarray | None = None

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        value = values[self.feature.signal]
        if self.feature.minus:
            value = value - values[self.feature.minus]
        if self.feature.change:
            previous, self.previous = self.previous, value
            value = value - (value if previous is None else previous)
        if self._select is not None:
            value = value[self._select]
        if self.feature.transform == "signed_sqrt":
            value = np.sign(value) * np.sqrt(np.abs(value))
        return self.feature.scale * value


def _selection(feature: Feature, elements: tuple[str, ...], key: str) -> list[int] | None:
    if feature.elements is None:
        return None
    for name in feature.elements:
        if name not in elements:
            raise ConfigError(f"{key}.elements: '{name}' is not in {', '.join(elements)}")
    return [elements.index(name) for name in feature.elements]
