"""The gate: judges what a learner offers, and announces what is admitted (docs/gate.md).

    ros2 launch porl_ros validate.launch.py reference:=BASE

`porl validate` judges one bundle from a terminal.
"""

from launch import LaunchDescription
from porl_ros.nodes.bringup.description import ValidationBringup
from porl_ros.nodes.bringup.launch_files import describe


def generate_launch_description() -> LaunchDescription:
    """Every argument with its description and choices, then the nodes."""
    return describe(ValidationBringup)
