"""A robot, or its twin in simulation: policy node, and with `learner:=true` a fine-tuning node.

    ros2 launch porl_ros robot.launch.py bundle:=ADMITTED store:=STORE
    ros2 launch porl_ros robot.launch.py bundle:=ADMITTED store:=STORE twin:=twin

What the gate has not admitted ends the launch with exit code 1 and the reason (docs/gate.md).
"""

from launch import LaunchDescription
from porl_ros.nodes.bringup.description import RobotBringup
from porl_ros.nodes.bringup.launch_files import describe


def generate_launch_description() -> LaunchDescription:
    """Every argument with its description and choices, then the nodes."""
    return describe(RobotBringup)
