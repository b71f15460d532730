"""Fine-tuning in simulation: policy, fine-tuning and simulation nodes.

    ros2 launch porl_ros simulation.launch.py bundle:=BASE store:=STORE output:=OUTPUT

The same description serves `porl demo` (porl_ros/nodes/bringup/description.py).
"""

from launch import LaunchDescription
from porl_ros.nodes.bringup.description import SimulationBringup
from porl_ros.nodes.bringup.launch_files import describe


def generate_launch_description() -> LaunchDescription:
    """Every argument with its description and choices, then the nodes."""
    return describe(SimulationBringup)
