"""What ROS messages say, as samples and commands; no ROS is needed to read them.

Messages are known by the names of their fields alone, so those that rclpy delivers and those that
are read from a recording are the same here.
"""

import math

import numpy as np

from porl_ros.robot.config import RobotConfig, Source
from porl_ros.robot.observation import Sample


class MessageError(ValueError):
    """A message does not hold what the contract says; the text names the field."""


def nanoseconds(stamp) -> int:
    """A builtin_interfaces Time as an integer."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_sample(source: Source, message) -> Sample:
    """A sample from a message of the source's type; MessageError when something is missing."""
    values = _joint_values(source, message) if hasattr(source, "joints") else _pose_values(message)
    for field, value in values.items():
        if not np.isfinite(value).all():
            raise MessageError(f"{source.topic}: {field} holds values that are not finite")
    return Sample(nanoseconds(message.header.stamp), values)


def _joint_values(source: Source, message) -> dict[str, np.ndarray]:
    index = {name: i for i, name in enumerate(message.name)}
    missing = [joint for joint in source.joints if joint not in index]
    if missing:
        raise MessageError(
            f"{source.topic}: no joint {', '.join(missing)}; has {', '.join(message.name)}"
        )
    order = [index[joint] for joint in source.joints]
    values = {"position": _pick(source, message, "position", order)}
    # Drivers may leave velocities out; a contract that uses them will see zeros, not a crash.
    known = len(message.velocity) == len(message.name)
    values["velocity"] = (
        _pick(source, message, "velocity", order) if known else np.zeros(len(order))
    )
    return values


def _pick(source: Source, message, field: str, order: list[int]) -> np.ndarray:
    array = getattr(message, field)
    if len(array) != len(message.name):
        raise MessageError(
            f"{source.topic}: {len(array)} values of {field} for {len(message.name)} names"
        )
    return np.array([array[i] for i in order])


def _pose_values(message) -> dict[str, np.ndarray]:
    p, q = message.pose.position, message.pose.orientation
    return {"position": np.array([p.x, p.y, p.z]), "orientation": np.array([q.x, q.y, q.z, q.w])}


def from_command(config: RobotConfig, message) -> tuple[np.ndarray, int]:
    """Joint positions (n,) and the stamp they answer, -1 if unknown; MessageError.

    A trajectory has its stamp in the header, an array in the label of its layout, if at all.
    """
    topic, joints = config.action.command.topic, config.command_joints
    if config.action.command.type == "std_msgs/msg/Float64MultiArray":
        values, label = (
            list(message.data),
            message.layout.dim[0].label if message.layout.dim else "",
        )
        stamp = int(label) if label.isdecimal() else -1
    else:
        if tuple(message.joint_names) != joints or len(message.points) != 1:
            raise MessageError(f"{topic}: must carry one point for the joints {', '.join(joints)}")
        values, stamp = list(message.points[0].positions), nanoseconds(message.header.stamp)
    if len(values) != len(joints):
        raise MessageError(
            f"{topic}: {len(values)} values for {len(joints)} joints ({', '.join(joints)}); "
            "the sender uses another robot config, or another node publishes here"
        )
    if not all(map(math.isfinite, values)):
        raise MessageError(f"{topic}: values that are not finite")
    return np.array(values), stamp
