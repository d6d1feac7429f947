# SPDX-License-Identifier: Apache-2.0
"""A node graph for `ros2 launch`; only the files in launch/ import this."""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node as NodeAction

from vla_drop_ros.bringup import build, Graph, GRAPHS, interpreter, LIFELINE, Node, STOP_DEADLINE
from vla_drop_ros.shared_memory import remove_leaked_segments


def describe(graph: str) -> LaunchDescription:
    """Return the named graph with its arguments; a node that ends stops the others."""
    return LaunchDescription([
        *(DeclareLaunchArgument(
            argument.name, default_value=argument.default_text, description=argument.description,
            choices=argument.choices or None) for argument in GRAPHS[graph].arguments),
        OpaqueFunction(function=_start, args=[graph]),
    ])


def _start(context: LaunchContext, graph: str) -> list[NodeAction]:
    """Build the graph of the arguments as they are now."""
    settings = {argument.name: LaunchConfiguration(argument.name).perform(context)
                for argument in GRAPHS[graph].arguments}
    built = build(graph, settings)
    remove_leaked_segments()
    return [_action(node, built) for node in built.nodes]


def _action(node: Node, graph: Graph) -> NodeAction:
    parameters: list[object] = [dict(node.parameters)]
    if node.parameter_file is not None:
        parameters.insert(0, str(node.parameter_file))
    return NodeAction(
        executable=interpreter(), arguments=['-m', LIFELINE, '0', str(STOP_DEADLINE), node.module],
        exec_name=node.name, name=node.name, namespace=graph.namespace, parameters=parameters,
        output='screen', emulate_tty=True, additional_env=dict(graph.environment),
        sigterm_timeout=str(STOP_DEADLINE),
        on_exit=Shutdown(reason=f'{node.name} ended'))
