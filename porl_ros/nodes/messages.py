"""Between ROS messages and samples or commands, and the quality of service of every topic."""

import math

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import Sample

MESSAGES = {
    "sensor_msgs/msg/JointState": JointState,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "std_msgs/msg/Float64MultiArray": Float64MultiArray,
    "trajectory_msgs/msg/JointTrajectory": JointTrajectory,
}


class MessageError(ValueError):
    """A message does not hold what the contract says; the text names the field."""


def qos(reliable: bool, depth: int = 1, latched: bool = False) -> QoSProfile:
    """Sensors: best effort. Commands: reliable. Status: reliable and latched (transient local)."""
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


COMMAND = qos(reliable=True)
LATCHED = qos(reliable=True, latched=True)
EVENTS = qos(reliable=True, depth=100)
# Of bundles and grants none may be lost by two that come at once.
LATCHED_EVENTS = qos(reliable=True, depth=10, latched=True)


def sensor_qos(lockstep: bool) -> QoSProfile:
    """Best effort on a robot, where the next sample beats a late one; lock-step must lose none."""
    return qos(reliable=lockstep)


def to_sample(source, message) -> Sample:
    """A sample from a message of the source's type; MessageError when something is missing."""
    values = _joint_values(source, message) if hasattr(source, "joints") else _pose_values(message)
    for field, value in values.items():
        if not np.isfinite(value).all():
            raise MessageError(f"{source.topic}: {field} holds values that are not finite")
    return Sample(nanoseconds(message.header.stamp), values)


def nanoseconds(stamp) -> int:
    """A builtin_interfaces Time as an integer."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def set_stamp(stamp, time_ns: int) -> None:
    """Fill a builtin_interfaces Time."""
    stamp.sec, stamp.nanosec = divmod(time_ns, 1_000_000_000)


def _joint_values(source, message: JointState) -> dict[str, np.ndarray]:
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


def _pick(source, message: JointState, field: str, order: list[int]) -> np.ndarray:
    array = getattr(message, field)
    if len(array) != len(message.name):
        raise MessageError(
            f"{source.topic}: {len(array)} values of {field} for {len(message.name)} names"
        )
    return np.array([array[i] for i in order])


def _pose_values(message: PoseStamped) -> dict[str, np.ndarray]:
    p, q = message.pose.position, message.pose.orientation
    return {"position": np.array([p.x, p.y, p.z]), "orientation": np.array([q.x, q.y, q.z, q.w])}


def from_sample(source, sample: Sample):
    """The message that a robot's driver would publish for a sample."""
    message = MESSAGES[source.type]()
    set_stamp(message.header.stamp, sample.stamp)
    if isinstance(message, JointState):
        message.name = list(source.joints)
        message.position = sample.values["position"].tolist()
        message.velocity = sample.values["velocity"].tolist()
        return message
    message.header.frame_id = "base"
    p, q = message.pose.position, message.pose.orientation
    p.x, p.y, p.z = map(float, sample.values["position"])
    q.x, q.y, q.z, q.w = map(float, sample.values["orientation"])
    return message


def to_command(config: RobotConfig, command: np.ndarray, stamp: int):
    """A command (n,) as the contract's message. It carries the stamp of the observation it answers.

    A trajectory has a header for that; an array only its layout, whose label controllers ignore.
    """
    if config.action.command.type == "std_msgs/msg/Float64MultiArray":
        message = Float64MultiArray(data=command.tolist())
        size = len(command)
        message.layout.dim = [MultiArrayDimension(label=str(stamp), size=size, stride=size)]
        return message
    message = JointTrajectory(joint_names=list(config.command_joints))
    set_stamp(message.header.stamp, stamp)
    point = JointTrajectoryPoint(positions=command.tolist())
    point.time_from_start.nanosec = config.period_ns % 1_000_000_000
    point.time_from_start.sec = config.period_ns // 1_000_000_000
    message.points = [point]
    return message


def from_command(config: RobotConfig, message) -> tuple[np.ndarray, int]:
    """Joint positions (n,) and the stamp they answer, -1 if unknown; MessageError."""
    topic, joints = config.action.command.topic, config.command_joints
    if isinstance(message, Float64MultiArray):
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
