"""The floor: a bare rclpy node that answers the last sensor message of a step with a command."""

import contextlib
import sys

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.executors import ExternalShutdownException
from rclpy.experimental import EventsExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension

from porl_ros.nodes.messages import COMMAND, sensor_qos
from porl_ros.nodes.scheduling import come_first


def main() -> None:
    """Until SIGTERM. Takes the same messages as the policy node, and thinks nothing. The first
    argument is its real-time priority."""
    rclpy.init()
    node = rclpy.create_node("echo")
    if priority := int(sys.argv[1]):
        come_first(priority)
    publisher = node.create_publisher(
        Float64MultiArray, "forward_position_controller/commands", COMMAND
    )

    def answer(message: PoseStamped) -> None:
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        reply = Float64MultiArray(data=[0.0] * 6)
        reply.layout.dim = [MultiArrayDimension(label=str(stamp), size=6, stride=6)]
        publisher.publish(reply)

    quality = sensor_qos(lockstep=True)
    node.create_subscription(JointState, "joint_states", lambda message: None, quality)
    node.create_subscription(PoseStamped, "socket_pose", answer, quality)
    executor = EventsExecutor()
    executor.add_node(node)
    with contextlib.suppress(ExternalShutdownException):  # SIGTERM
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.1)


if __name__ == "__main__":
    main()
