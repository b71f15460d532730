"""Between ROS messages and samples or commands, and the quality of service of every topic."""

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.messages import MessageError, from_command, to_sample  # noqa: F401
from porl_ros.robot.observation import Sample

MESSAGES = {
    "sensor_msgs/msg/JointState": JointState,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "std_msgs/msg/Float64MultiArray": Float64MultiArray,
    "trajectory_msgs/msg/JointTrajectory": JointTrajectory,
}


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


def set_stamp(stamp, time_ns: int) -> None:
    """Fill a builtin_interfaces Time."""
    stamp.sec, stamp.nanosec = divmod(time_ns, 1_000_000_000)


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
