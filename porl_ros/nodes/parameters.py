"""A node's settings as ROS parameters: declared from its model, checked when they are set.

A change is checked at once, in the executor's thread, and answered with a reason if it is refused.
What is taken over is seen by the node between two callbacks, and so between two control steps.
"""

from collections.abc import Callable, Iterable
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.nodes.settings import NodeSettings, Setting, flat, nested, settings_of

Changes = dict[str, tuple[Any, Any]]  # old and new, by name


def declare(node: Node, setting: Setting) -> Any:
    """Declare one; its value, the default unless another one was given."""
    return node.declare_parameter(setting.name, setting.default, _descriptor(setting)).value


class Parameters:
    """The parameters of one node. Executor's thread."""

    def __init__(
        self,
        node: Node,
        defaults: NodeSettings,
        check: Callable[[NodeSettings], None],
        taken: Callable[[NodeSettings, Changes], None],
    ):
        """Declares what is not declared yet. A value that is given wins over `defaults`; one that
        does not fit is told by `begin`.

        `check` raises ConfigError for settings that the node cannot take now; `taken` is called
        when it was given others. Both only between `begin` and `end`.
        """
        self._node, self._check_more, self._taken = node, check, taken
        self._kind = type(defaults)
        self._settings = {setting.name: setting for setting in settings_of(defaults)}
        for name, setting in self._settings.items():
            if not node.has_parameter(name):
                declare(node, setting)
        self._in_force: NodeSettings | None = None  # None while nothing is configured
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._take)

    def begin(self) -> NodeSettings:
        """The settings to begin with; from now on only live ones change. Raises ConfigError."""
        self._in_force = None
        self._in_force = self._parsed([])
        return self._in_force

    def end(self) -> None:
        """Nothing is configured any more: all may change, for the next configure."""
        self._in_force = None

    def show(self, settings: NodeSettings) -> None:
        """Make the live ones say what is in force, where that came from somewhere else."""
        wanted = {name: value for name, value in flat(settings).items() if name in settings.live}
        self._node.set_parameters([
            Parameter(name, value=value)
            for name, value in wanted.items()
            if _plain(self._node.get_parameter(name).value) != value
        ])  # fmt: skip

    def _parsed(self, changes: Iterable[Parameter]) -> NodeSettings:
        values = {name: _plain(self._node.get_parameter(name).value) for name in self._settings}
        values |= {p.name: _plain(p.value) for p in changes}
        for name, value in values.items():
            if value is None and isinstance(self._settings[name].default, list):
                values[name] = []  # ROS knows no type of an empty list
        where = f"parameters of {self._node.get_fully_qualified_name()}"
        return parse(self._kind, nested(values), where)

    def _check(self, changes: list[Parameter]) -> SetParametersResult:
        ours = [p for p in changes if p.name in self._settings]
        try:
            if self._in_force:
                self._refuse_fixed(ours)
            if ours:
                wanted = self._parsed(ours)
                if self._in_force:
                    self._check_more(wanted)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _refuse_fixed(self, changes: list[Parameter]) -> None:
        for parameter in changes:
            setting = self._settings[parameter.name]
            before = _plain(self._node.get_parameter(parameter.name).value)
            if not setting.live and _plain(parameter.value) != before:
                raise ConfigError(
                    f"{parameter.name} = {parameter.value}: cannot change while the node is "
                    "configured; deactivate and clean up first"
                )

    def _take(self, changes: list[Parameter]) -> None:
        if self._in_force is None or not any(p.name in self._settings for p in changes):
            return
        before, self._in_force = self._in_force, self._parsed([])
        old, new = flat(before), flat(self._in_force)
        changed = {name: (old[name], new[name]) for name in new if old[name] != new[name]}
        if changed:
            self._taken(self._in_force, changed)


def _plain(value: Any) -> Any:
    """Arrays are lists: of numbers rclpy makes array.array."""
    return value if value is None or isinstance(value, (str, int, float)) else list(value)


def _descriptor(setting: Setting) -> ParameterDescriptor:
    """Description and range as the model states them. An open bound is checked when it is set."""
    descriptor = ParameterDescriptor(
        description=f"{setting.schema['description']} ({setting.when})",
        additional_constraints=" or ".join(setting.choices),
        read_only=setting.read_only,
    )
    if setting.range and isinstance(setting.default, float):
        low, high = map(float, setting.range)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif setting.range:
        low, high = setting.range
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
    return descriptor
