"""What the policy node records to: the writer that its settings describe."""

from pathlib import Path

from porl_ros.nodes.settings import PolicySettings
from porl_ros.replay import ReplayWriter, Retention, robot_schema
from porl_ros.robot.config import RobotConfig

GIGABYTE, DAY = 10**9, 86_400.0


def open_writer(settings: PolicySettings, namespace: str, config: RobotConfig) -> ReplayWriter:
    """Begin a run of the robot that the namespace names. Raises what ReplayWriter does; blocks on
    the disk."""
    size, age = settings.store_max_gigabytes, settings.store_max_days
    limits = Retention(
        max_bytes=max(1, round(size * GIGABYTE)) if size else None,
        max_age=age * DAY if age else None,
    )
    robot = namespace.strip("/").replace("/", "_") or config.name
    return ReplayWriter(
        Path(settings.store), robot_schema(config), robot,
        flush_interval=settings.flush_interval, retention=limits if size or age else None,
    )  # fmt: skip
