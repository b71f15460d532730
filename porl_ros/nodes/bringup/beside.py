"""What may run beside the nodes: a recorder of the topics that matter, and a bridge to Foxglove."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from ament_index_python import has_resource

from porl_ros.errors import PorlError
from porl_ros.nodes.bringup.description import LaunchArguments, NodeSpec
from porl_ros.robot.loading import load_robot

OURS = "policy", "learner", "gate", "simulation", "teleop"  # all below these is recorded
EVERYWHERE = "clock", "diagnostics", "rosout", "tf", "tf_static"
RECORDER = "ros2bag", "rosbag2_storage_mcap"
BRIDGE = "foxglove_bridge"


class Missing(PorlError):
    """A launch argument asks for a package that is not installed."""


def programs(common: LaunchArguments, specs: list[NodeSpec]) -> Iterator[list[str]]:
    """Commands of what is asked for. Raises Missing where a package is."""
    if common.record:
        for package in RECORDER:
            _require(package, "record:=true")
        yield _recorder(common, specs)
    if common.foxglove:
        _require(BRIDGE, "foxglove:=true")
        port = f"port:={common.foxglove_port}"
        yield ["ros2", "run", BRIDGE, BRIDGE, "--ros-args", "-p", port]


def recorded(common: LaunchArguments, specs: list[NodeSpec]) -> str:
    """A regular expression of the topics: what robots sense and are told, and what nodes say."""
    topics = {f"{name}/.+" for name in OURS} | {"stop", "clock"}
    for path in {spec.parameters["robot_config"] for spec in specs}:
        robot = load_robot(path)
        named = [robot.action.command.topic, *(s.topic for s in robot.observation.sources)]
        if robot.reward.source == "topic":
            named += filter(None, (robot.reward.done, robot.reward.reward))
        topics |= {re.escape(topic) for topic in named}
    places = {spec.namespace_in(common.namespace) for spec in specs}
    roots = "|".join(sorted(f"/{re.escape(place)}" if place else "" for place in places))
    return f"^({roots})/({'|'.join(sorted(topics))})$|^/({'|'.join(EVERYWHERE)})$"


def _recorder(common: LaunchArguments, specs: list[NodeSpec]) -> list[str]:
    folder = Path(common.record_folder) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    command = ["ros2", "bag", "record", "--storage", "mcap", "--output", str(folder)]
    return [*command, "--regex", recorded(common, specs)]


def _require(package: str, argument: str) -> None:
    try:
        found = has_resource("packages", package)
    except OSError:  # no workspace is sourced
        found = False
    if not found:
        distribution = os.environ.get("ROS_DISTRO", "DISTRO")
        raise Missing(
            f"{argument}: the package {package} is not here; sudo apt install "
            f"ros-{distribution}-{package.replace('_', '-')}, or leave the argument out"
        )
