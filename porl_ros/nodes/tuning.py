"""The learner's settings as ROS parameters: declared from `PorlConfig`, changed between two steps.

A change is checked at once, in the executor's thread, and answered with a reason if it is refused.
The training thread takes it over before its next environment step.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.parameter import Parameter

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.learning.config import LIVE, PorlConfig
from porl_ros.nodes.base import PorlNode

PREFIX = "learner."


class Tuning:
    """Declares the parameters and holds what is wanted. Executor's thread, but for `wanted`."""

    def __init__(self, node: PorlNode, configured: PorlConfig):
        """`configured`: of the YAML file; parameters that are given win. What does not fit is told
        by `start`."""
        self._node = node
        schemas = PorlConfig.model_json_schema()["properties"]
        for name, value in configured:
            descriptor = _descriptor(name, schemas[name])
            node.declare_parameter(PREFIX + name, _plain(value), descriptor)
        self.wanted: PorlConfig = configured  # replaced whole: read it from any thread
        self._running = False
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def start(self) -> PorlConfig:
        """The settings to begin with; from now on only `LIVE` ones change. Raises ConfigError."""
        self.wanted, self._running = self._parsed([]), True
        return self.wanted

    def stop(self) -> None:
        """Nothing is being learned any more: all may change, for the next configure."""
        self._running = False

    def show(self, config: PorlConfig) -> None:
        """Make the parameters say what is in force, where that came from somewhere else."""
        self._node.set_parameters([
            Parameter(PREFIX + name, value=_plain(value))
            for name, value in config
            if name in LIVE and self._node.value(PREFIX + name) != _plain(value)
        ])  # fmt: skip

    def _parsed(self, changes: Iterable[Parameter]) -> PorlConfig:
        values = {name: self._node.value(PREFIX + name) for name in PorlConfig.model_fields}
        values |= {p.name.removeprefix(PREFIX): p.value for p in changes}
        values["critic_hidden"] = tuple(values["critic_hidden"] or ())
        return parse(PorlConfig, values, "parameters of the learner")

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        ours = [p for p in changes if p.name.startswith(PREFIX)]
        for parameter in ours:
            if self._running and parameter.name.removeprefix(PREFIX) not in LIVE:
                reason = f"{parameter.name}: cannot change while it learns; deactivate and clean up"
                return SetParametersResult(successful=False, reason=reason)
        try:
            if ours:
                self._parsed(ours)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, changes: list[Parameter]) -> None:
        if any(p.name.startswith(PREFIX) for p in changes):
            self.wanted = self._parsed([])


def configured(path: str) -> PorlConfig:
    """The settings of a YAML file; the defaults if it cannot be read, which configure will tell."""
    try:
        return PorlConfig.load(Path(path) if path else None)
    except ConfigError:
        return PorlConfig()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _descriptor(name: str, schema: dict[str, Any]) -> ParameterDescriptor:
    """Description and range as the model states them. An open bound is checked when it is set."""
    live = "" if name in LIVE else "; fixed while it learns"
    descriptor = ParameterDescriptor(description=schema["description"] + live)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if schema["type"] == "integer":
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    elif schema["type"] == "number":
        bounds = FloatingPointRange(from_value=float(low), to_value=float(high))
        descriptor.floating_point_range = [bounds]
    return descriptor
