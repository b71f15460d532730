"""Several robots with one learner: each robot in its namespace, one store, one policy.

    ros2 launch porl_ros bringup_multi.launch.py robots:=arm1,arm2 bundle:=ADMITTED store:=STORE \\
        output:=OUTPUT
    ros2 launch porl_ros bringup_multi.launch.py ... twin:=twin      # each has a twin for a robot

What is said to one robot is said in its namespace (`/arm1/stop`); the learner is not in one.
"""

from launch import LaunchDescription
from porl_ros.nodes.bringup.launch_files import describe
from porl_ros.nodes.bringup.several import MultiBringup


def generate_launch_description() -> LaunchDescription:
    """Every argument with its description and choices, then the nodes."""
    return describe(MultiBringup)
