# SPDX-License-Identifier: Apache-2.0
"""Start a robot graph and stop it, in order, with Ctrl-C.

The policy is stopped first and the command gate after it, so that the last command on the wire is
the gate's safety action. Exit status: 0 stopped as asked, 1 a node ended by itself, 2 bad input,
3 stopped as asked but a node had to be killed.
"""

import argparse
from collections.abc import Callable
from functools import partial
import os
from pathlib import Path
import signal
import sys

from vla_drop_ros import bringup, preflight
from vla_drop_ros.bringup import Graph, GRAPHS, Node
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.shared_memory import transport_warning
from vla_drop_ros.supervisor import Running
from vla_drop_ros.trials.locked_study import load_study

EXAMPLES = """\
examples:
  vla_drop up pick_place --instruction 'put the red cube in the left bin'
  vla_drop up pick_place --robot my_robot.yaml --checkpoint ~/models/pi0-drop6
  vla_drop up simulated_robot --seed 7 --viewer_rate 10
  ros2 topic pub -1 /instruction std_msgs/String '{data: put the red cube in the left bin}' \\
      --qos-durability transient_local       (in another terminal: say what to do)
"""

NODE_DIED = 1
KILLED = 3
COLOURS = ('\033[36m', '\033[33m', '\033[32m', '\033[35m', '\033[34m')
PLAIN = '\033[0m'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command a graph, with the arguments that `ros2 launch` has as well."""
    graphs = parser.add_subparsers(dest='graph', required=True, metavar='GRAPH', title='graphs')
    for name, recipe in GRAPHS.items():
        one = graphs.add_parser(
            name, help=recipe.description, description=recipe.description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        for argument in recipe.arguments:
            one.add_argument(
                f'--{argument.name}', default=argument.default_text, help=argument.description,
                metavar='|'.join(argument.choices) or type(argument.default).__name__.upper())


def main(args: argparse.Namespace) -> int:
    """Check, start, follow until Ctrl-C, SIGTERM or the end of a node, and stop."""
    settings = {argument.name: getattr(args, argument.name)
                for argument in GRAPHS[args.graph].arguments}
    preflight.require([preflight.check_python, preflight.check_ros])
    graph = bringup.build(args.graph, settings)
    preflight.require(graph_checks(graph))
    return run(graph)


def graph_checks(graph: Graph) -> list[Callable[[], preflight.Check]]:
    """Return the checks that this graph needs."""
    checks: list[Callable[[], preflight.Check]] = []
    for node in graph.nodes:
        if 'checkpoint' in node.parameters:
            checks += [preflight.check_torch, preflight.check_transformers,
                       *(partial(preflight.check_checkpoint, one) for one in checkpoints(node))]
    return [*checks, partial(preflight.check_domain, graph.full_names())]


def checkpoints(node: Node) -> list[str]:
    """Return the checkpoints that a policy node loads at its start.

    Raises:
        TrialError: its study is none.

    """
    if node.parameters.get('study'):
        return [arm.checkpoint for arm in load_study(
            Path(str(node.parameters['study']))).design.arms]
    return [str(node.parameters['checkpoint'])]


def run(graph: Graph) -> int:
    """Keep the graph alive until a signal comes or a node ends; return the exit status."""
    running = Running(graph, on_line=line_printer([node.name for node in graph.nodes]))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: running.request_stop())
    status = 0
    names = ', '.join(node.name for node in graph.nodes)
    print(f'starting {names} on ROS domain {os.environ.get("ROS_DOMAIN_ID", "0")}; '
          'Ctrl-C stops them', flush=True)
    if warning := transport_warning(graph.environment):
        print(f'warning: {warning}', file=sys.stderr)
    try:
        running.start()
        while not running.stop_requests:
            running.wait()
    except NodeDiedError as error:
        print(f'error: {error}', file=sys.stderr)
        status = NODE_DIED
    finally:
        killed = running.stop()
    for name in killed:
        print(f'error: {name} did not stop when asked and was killed', file=sys.stderr)
    return status or (KILLED if killed else 0)


def line_printer(names: list[str], colour: bool | None = None) -> Callable[[str, str], None]:
    """Return a printer that puts the node's name, in its own colour, before each line."""
    coloured = sys.stdout.isatty() if colour is None else colour
    width = max(map(len, names))
    marks = {name: (COLOURS[i % len(COLOURS)], PLAIN) if coloured else ('', '')
             for i, name in enumerate(names)}

    def show(name: str, line: str) -> None:
        begin, end = marks[name]
        print(f'{begin}{name:>{width}} |{end} {line}', flush=True)

    return show
