"""Fine-tuning in simulation: policy, fine-tuning and simulation nodes.

    ros2 launch porl_ros simulation.launch.py bundle:=BASE store:=STORE output:=OUTPUT

The same description serves `porl demo` (porl_ros/nodes/bringup.py).
"""

from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from porl_ros.nodes.bringup import LaunchArguments, SimulationBringup, launch_arguments

ARGUMENTS = launch_arguments(SimulationBringup) + launch_arguments(LaunchArguments)


def generate_launch_description() -> LaunchDescription:
    """Every argument with its description and choices, then the nodes."""
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices
        )
        for a in ARGUMENTS
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_nodes)])


def _nodes(context) -> list[Node]:
    values = {a.name: LaunchConfiguration(a.name).perform(context) for a in ARGUMENTS}
    common = LaunchArguments.parse(values)
    return [
        Node(
            package="porl_ros",
            executable=spec.executable,
            name=spec.name,
            namespace=common.namespace,
            parameters=[spec.parameters, *([common.params_file] if common.params_file else [])],
            arguments=["--ros-args", "--log-level", common.log_level, "--enclave", spec.enclave],
            output="screen",
            respawn=common.respawn,
            respawn_delay=1.0,
            on_exit=None
            if common.respawn or not spec.required
            else Shutdown(reason=f"{spec.name} ended"),
        )
        for spec in SimulationBringup.parse(values).nodes()
    ]
