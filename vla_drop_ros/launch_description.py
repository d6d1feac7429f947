# SPDX-License-Identifier: Apache-2.0
"""A node graph for `ros2 launch`; only the files in launch/ import this.

Launch signals all processes at once, and a terminal does so before it. Each process therefore
waits for its turn by itself (``lifeline``), and gets time for that: policy first, then the gate,
whose safety action is the last command on the wire, then the robot.
"""

from collections.abc import Callable
import time

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node as NodeAction

from vla_drop_ros.bringup import (
    build,
    Graph,
    GRAPHS,
    interpreter,
    Node,
    SETTLED,
    STOP_DEADLINE,
)
from vla_drop_ros.shared_memory import remove_leaked_segments, transport_warning


def describe(graph: str) -> LaunchDescription:
    """Return the named graph with its arguments; a node that ends stops the others.

    One that respawns is started again instead.
    """
    return LaunchDescription([
        *(DeclareLaunchArgument(
            argument.name, default_value=argument.default_text, description=argument.description,
            choices=argument.choices or None) for argument in GRAPHS[graph].arguments),
        OpaqueFunction(function=_start, args=[graph]),
    ])


def _start(context: LaunchContext, graph: str) -> list[Action]:
    """Build the graph of the arguments as they are now."""
    settings = {argument.name: LaunchConfiguration(argument.name).perform(context)
                for argument in GRAPHS[graph].arguments}
    remove_leaked_segments()
    built = build(graph, settings)
    warning = transport_warning(built.environment)
    return [*([LogInfo(msg=f'warning: {warning}')] if warning else []), *actions(built)]


def actions(graph: Graph) -> list[NodeAction]:
    """Return one launch action a process of the graph."""
    return [_action(node, graph) for node in graph.nodes]


def _action(node: Node, graph: Graph) -> NodeAction:
    parameters: list[object] = [dict(node.parameters)]
    if node.parameter_file is not None:
        parameters.insert(0, str(node.parameter_file))
    patience = STOP_DEADLINE * len(graph.before(node))  # while the others stop
    return NodeAction(
        executable=interpreter(), arguments=[*graph.lifeline(node, 0), node.module],
        exec_name=node.name, name=node.name, namespace=graph.namespace, parameters=parameters,
        remappings=list(graph.remappings.items()),
        output='screen', emulate_tty=True, additional_env=dict(graph.environment),
        sigterm_timeout=str(patience + STOP_DEADLINE / 2.0),
        sigkill_timeout=str(STOP_DEADLINE / 2.0),
        on_exit=_ending(node, graph))


def _ending(node: Node, graph: Graph) -> Callable[[object, LaunchContext], list[Action]]:
    """Return what follows the end of a node."""
    begun = time.monotonic()

    def follow(event: object, context: LaunchContext) -> list[Action]:
        settled = time.monotonic() - begun >= SETTLED
        if node.respawns and settled and not context.is_shutdown:
            return [_action(node, graph)]
        return [Shutdown(reason=f'{node.name} ended')]

    return follow
