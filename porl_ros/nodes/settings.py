"""What can be set of each node: defaults, units and ranges, stated here and nowhere else. No ROS.

`parameters.py` makes ROS parameters of it, `porl params` YAML files and docs/parameters.md a table.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from porl_ros.configfile import StrictModel
from porl_ros.learning.config import LIVE, PorlConfig
from porl_ros.nodes.acting.watchdog_table import WatchdogSettings

Device = Literal["auto", "cpu", "cuda"]
Mode = Literal["lockstep", "paced"]
ROBOT = Field("ur5e_insert", description="path or name of the robot config")


class NodeSettings(StrictModel):
    """Of any node. `live`: names that may be set at any time; all others are fixed while the node
    is configured. `read_only`: only given at the start. `routine`: set by other nodes, not told."""

    live: ClassVar[frozenset[str]] = frozenset()
    read_only: ClassVar[frozenset[str]] = frozenset({"autostart"})
    routine: ClassVar[frozenset[str]] = frozenset()

    autostart: bool = Field(True, description="configure and activate without being asked")


class PolicySettings(NodeSettings):
    """Of the policy node."""

    live: ClassVar = frozenset(
        {"bundle", "gate", "explore", "takeover_timeout", "late_tick", "inference_deadline"}
        | {"velocity_scale", "acceleration_scale"}
        | {f"watchdog.{reason}" for reason in WatchdogSettings.model_fields}
    )

    robot_config: str = ROBOT
    bundle: str = Field(
        "",
        description="policy bundle, or a link to one; acts from configure or the service deploy on",
    )
    store: str = Field("", description="replay store to record in; made if it is not there")
    flush_interval: float = Field(
        0.1, ge=0.001, le=60, description="time after which a step survives a loss of power [s]"
    )
    store_max_gigabytes: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="how much of this robot is kept, oldest steps go; 0: all [GB]",
    )
    store_max_days: float = Field(
        0.0, ge=0, le=1e5, description="how long it is kept once written down; 0: for ever [days]"
    )
    gate: Literal["config", "initial", "every"] = Field(
        "config",
        description="which bundles must be admitted; it can only ask for more than the robot "
        "config does, and while the node is configured for more than before",
    )
    mode: Mode = Field("lockstep", description="with a simulation that waits, or by the clock")
    device: Device = Field("auto", description="where the policy is computed")
    explore: bool = Field(True, description="add the bundle's exploration noise to actions")
    seed: int = Field(
        0, ge=0, le=1_000_000_000, description="seed of the exploration noise and of the episodes"
    )
    learner: bool = Field(
        True, description="swap in a learner's bundles; in lock-step, await its grants"
    )
    max_steps: int = Field(
        0, ge=0, le=10**12, description="stop acting after this many control steps; 0: never"
    )
    false_alarms: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="chance in a whole run that a policy no worse than the base is sent back to it",
    )
    realtime_priority: int = Field(
        0,
        ge=0,
        le=99,
        description="run before all normal processes (SCHED_FIFO), higher first; 0: as they do",
    )
    takeover_timeout: float = Field(
        0.5, ge=0, le=60, description="silence after which a person has let go; 0: nobody acts [s]"
    )
    deadman_button: int = Field(
        -1, ge=-1, le=1000, description="index in sensor_msgs/Joy of the button to act by; -1: none"
    )
    late_tick: float = Field(
        0.5, gt=0, le=1000, description="how late a control tick may be [control periods]"
    )
    inference_deadline: float = Field(
        0.5, gt=0, le=1000, description="time that the policy may take [control periods]"
    )
    velocity_scale: float = Field(
        1.0, ge=0.01, le=1, description="share of the contract's velocity limits that may be used"
    )
    acceleration_scale: float = Field(
        1.0,
        ge=0.1,
        le=1,
        description="share of the contract's acceleration limits that may be used; from when the "
        "robot stands next, because a robot that moves must be able to stop",
    )
    watchdog: WatchdogSettings = WatchdogSettings()


class FinetuneSettings(NodeSettings):
    """Of the fine-tuning node."""

    live: ClassVar = frozenset(f"learner.{name}" for name in LIVE)
    read_only: ClassVar = NodeSettings.read_only | {"learner_config"}

    robot_config: str = ROBOT
    bundle: str = Field("", description="the policy to improve: a bundle")
    store: str = Field("", description="replay store to learn from")
    output: str = Field("", description="folder for the new bundles, checkpoints and the logs")
    checkpoint_interval: float = Field(
        30.0, ge=0, le=86_400, description="time between checkpoints of the learner; 0: none [s]"
    )
    learner_config: str = Field(
        "", description="YAML file with settings of the learner; empty: the defaults; learner.* win"
    )
    demonstrations: str = Field(
        "", description="replay store of demonstrations for prior_share; empty: none"
    )
    robots: str = Field(
        "",
        description="namespaces of the robots that it learns from, as arm1,arm2; empty: its own",
    )
    learn: bool = Field(True, description="learn at once; else from the service learner/start on")
    tensorboard: bool = Field(True, description="write the metrics for TensorBoard, too")
    mode: Mode = Field("lockstep", description="grant steps to the policy node, or run beside it")
    device: Device = Field("auto", description="where to train")
    seed: int = Field(0, ge=0, le=1_000_000_000, description="seed of networks and sampling")
    niceness: int = Field(
        10, ge=0, le=19, description="how far training stands back behind control"
    )
    learner: PorlConfig = PorlConfig()


class GateSettings(NodeSettings):
    """Of the gate node."""

    robot_config: str = ROBOT
    reference: str = Field("", description="admitted bundle to compare with: the base; empty: none")
    workers: int = Field(1, ge=1, le=1024, description="processes in which episodes run")
    niceness: int = Field(15, ge=0, le=19, description="how far judging stands back")


class SimulationSettings(NodeSettings):
    """Of the simulation node."""

    live: ClassVar = frozenset({"seed", "real_time_factor"})
    routine: ClassVar = frozenset({"seed"})

    robot_config: str = ROBOT
    variant: str = Field("", description="cell of the scene; empty: the robot config's")
    mode: Mode = Field("lockstep", description="wait for each command, or run by the clock")
    real_time_factor: float = Field(
        1.0, ge=0.01, le=100, description="paced: simulated seconds a second"
    )
    sensor_rate: float = Field(
        50.0, ge=0.1, le=10_000, description="paced: sensor messages a simulated second [Hz]"
    )
    seed: int = Field(0, ge=0, le=2**62, description="seed of the next episode")


SETTINGS: dict[str, type[NodeSettings]] = {
    "policy": PolicySettings,
    "finetune": FinetuneSettings,
    "gate": GateSettings,
    "simulation": SimulationSettings,
}


class Setting(NamedTuple):
    """One parameter: its full name, default, JSON schema, and when it may change."""

    name: str
    default: Any  # of a type that YAML and ROS have
    schema: dict[str, Any]
    live: bool
    read_only: bool

    @property
    def when(self) -> str:
        """When it may change, in words."""
        if self.read_only:
            return "read only"
        return "live" if self.live else "fixed while configured"

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the greatest number; open bounds count as closed here."""
        low = self.schema.get("minimum", self.schema.get("exclusiveMinimum"))
        high = self.schema.get("maximum", self.schema.get("exclusiveMaximum"))
        return None if low is None else (low, high)

    @property
    def choices(self) -> list[str]:
        """The texts that it may be, empty where any will do."""
        return self.schema.get("enum", [])


def settings_of(defaults: NodeSettings) -> Iterator[Setting]:
    """Every parameter of a node, in order."""
    schemas = flat(defaults, lambda model: type(model).model_json_schema()["properties"])
    for name, value in flat(defaults).items():
        live, fixed = name in defaults.live, name in defaults.read_only
        yield Setting(name, value, schemas[name], live, fixed)


def flat(
    model: StrictModel, read: Callable[[StrictModel], Mapping[str, Any]] = dict
) -> dict[str, Any]:
    """What `read` gives for each field, by full name; the values unless told otherwise."""
    found: dict[str, Any] = {}
    told = read(model)
    for name, value in model:
        if isinstance(value, StrictModel):
            found |= {f"{name}.{key}": leaf for key, leaf in flat(value, read).items()}
        else:
            found[name] = list(told[name]) if isinstance(told[name], tuple) else told[name]
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """From full names to the tree that a model is read from."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = value
    return tree
