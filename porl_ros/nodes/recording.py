"""What the policy node records to: parameters, and the writer that they describe."""

from pathlib import Path

from porl_ros.errors import ConfigError
from porl_ros.nodes.base import PorlNode
from porl_ros.replay import ReplayWriter, Retention, robot_schema
from porl_ros.robot.config import RobotConfig

GIGABYTE, DAY = 10**9, 86_400.0
RANGES = {
    "flush_interval": (0.001, 60.0),
    "store_max_gigabytes": (0.0, 1e6),
    "store_max_days": (0.0, 1e5),
}


def declare_recording(node: PorlNode) -> None:
    """The parameters, with their defaults."""
    node.parameter("store", "", "replay store to record in; made if it is not there")
    node.parameter("flush_interval", 0.1, "seconds after which a step survives a loss of power")
    node.parameter(
        "store_max_gigabytes", 0.0, "how much of this robot is kept, oldest steps go; 0: all of it"
    )
    node.parameter(
        "store_max_days", 0.0, "how long it is kept after it was written down; 0: for ever"
    )


def open_writer(node: PorlNode, config: RobotConfig) -> ReplayWriter:
    """Begin a run of the robot that the namespace names. Raises ConfigError and what ReplayWriter
    does; blocks on the disk."""
    for name, (lowest, highest) in RANGES.items():
        if not lowest <= node.value(name) <= highest:
            raise ConfigError(
                f"parameter {name} = {node.value(name)}: must be {lowest:g} to {highest:g}"
            )
    size, age = node.value("store_max_gigabytes"), node.value("store_max_days")
    limits = Retention(
        max_bytes=max(1, round(size * GIGABYTE)) if size else None,
        max_age=age * DAY if age else None,
    )
    robot = node.get_namespace().strip("/").replace("/", "_") or config.name
    return ReplayWriter(
        Path(node.required("store")), robot_schema(config), robot,
        flush_interval=node.value("flush_interval"), retention=limits if size or age else None,
    )  # fmt: skip
