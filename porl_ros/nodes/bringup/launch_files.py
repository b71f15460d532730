"""What the launch files share: arguments and nodes of a bring-up.

Needs launch_ros, which comes with a ROS 2 distribution only.
"""

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from porl_ros.nodes.bringup.beside import programs
from porl_ros.nodes.bringup.description import (
    Arguments,
    LaunchArguments,
    NodeSpec,
    launch_arguments,
)
from porl_ros.nodes.bringup.processes import GRACE

ENDING = {"output": "screen", "sigterm_timeout": f"{GRACE:g}"}  # a checkpoint takes its time


def describe(bringup: type[Arguments]) -> LaunchDescription:
    """Every argument of a bring-up with its description and choices, then its nodes and what is
    asked for beside them."""
    arguments = launch_arguments(bringup) + launch_arguments(LaunchArguments)
    declared = [
        DeclareLaunchArgument(
            a.name, default_value=a.default, description=a.description, choices=a.choices
        )
        for a in arguments
    ]

    def nodes(context) -> list[ExecuteProcess]:
        values = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
        common = LaunchArguments.parse(values)
        specs = bringup.parse(values).nodes()
        beside = [ExecuteProcess(cmd=command, **ENDING) for command in programs(common, specs)]
        return [*(_node(spec, common) for spec in specs), *beside]

    return LaunchDescription([*declared, OpaqueFunction(function=nodes)])


def _node(spec: NodeSpec, common: LaunchArguments) -> Node:
    return Node(
        package="porl_ros",
        executable=spec.executable,
        name=spec.name,
        namespace=spec.namespace_in(common.namespace),
        remappings=spec.remaps_in(common.namespace),
        parameters=[spec.parameters, *([common.params_file] if common.params_file else [])],
        arguments=["--ros-args", "--log-level", common.log_level, "--enclave", spec.enclave],
        **ENDING,
        respawn=common.respawn,
        respawn_delay=1.0,
        on_exit=None
        if common.respawn or not spec.required
        else Shutdown(reason=f"{spec.key} ended"),
    )
