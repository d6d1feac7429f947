# SPDX-License-Identifier: Apache-2.0
"""Watch policies and command gates: state, latency, streams, altered commands, warnings.

Shows what the policy nodes and command gates of all namespaces say on /diagnostics. A node that
sends nothing for three seconds shows as DEAD, whatever it said last. Ctrl-C ends it.
Exit status of --once: 0 all well (warnings are), 1 an error, a dead or a missing node, or nothing
heard; 2 bad input. Without a terminal, --once is meant.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from vla_drop_ros import preflight
from vla_drop_ros.dashboard.board import Board, Report, STALE, Status
from vla_drop_ros.dashboard.view import draw

EXAMPLES = """\
examples:
  vla_drop top                          live, until Ctrl-C
  vla_drop top --once                   one picture as text; the exit status says how it is
  vla_drop top --once --json | jq '.robots[].nodes.command_gate.values'
  vla_drop top --once >/dev/null || ros2 topic pub --once estop std_msgs/msg/Bool '{data: true}'
"""

PERIOD = 0.25   # [s] between two pictures
FIRST = 1.5     # [s] of listening before the first picture: who is not there yet is not missing
LISTEN = 5.0    # [s] that --once waits for who is missing; discovery takes a while
SETTLE = 1.6    # [s] that it goes on for other robots, who say something once a second
UNHEALTHY = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to show it."""
    parser.add_argument('--once', action='store_true', help='listen, print once, and end')
    parser.add_argument('--json', action='store_true',
                        help='print JSON: once, or one line a second')
    parser.add_argument('--listen', type=float, default=LISTEN, metavar='SECONDS',
                        help='how long --once waits for who is missing (default: %(default)s)')


def main(args: argparse.Namespace) -> int:
    """Listen and show; return the exit status."""
    preflight.require([preflight.check_python, preflight.check_ros])
    console = Console(highlight=False)
    with listening() as listener:
        if args.once or not (args.json or console.is_terminal):
            report = listener.first_report(args.listen)
            if args.json:
                print(json.dumps(report.as_data(), indent=2))
            else:
                with console.capture() as picture:
                    console.print(draw(report, domain()))
                print('\n'.join(map(str.rstrip, picture.get().splitlines())))
            return 0 if report.is_healthy else UNHEALTHY
        if args.json:
            listener.listen(FIRST)
            while True:
                print(json.dumps(listener.listen(1.0).as_data()), flush=True)
        show(listener, console)
    return 0


def show(listener: 'Listener', console: Console) -> None:
    """Draw until Ctrl-C; a terminal that is too low gets the short picture."""
    with Live(Text('listening ...'), console=console, screen=True, auto_refresh=False) as live:
        wait = FIRST
        while True:
            report, wait = listener.listen(wait), PERIOD
            picture = draw(report, domain())
            if len(console.render_lines(picture, pad=False)) > console.height:
                picture = draw(report, domain(), brief=True)
            live.update(picture, refresh=True)


def domain() -> str:
    """Return the ROS domain of this process."""
    return os.environ.get('ROS_DOMAIN_ID') or '0'


@contextmanager
def listening() -> Iterator['Listener']:
    """Yield a listener on this process's ROS domain; it leaves the domain at the end."""
    import rclpy
    from rclpy.context import Context
    from rclpy.signals import SignalHandlerOptions

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield Listener(context)
    finally:
        rclpy.try_shutdown(context=context)


class Listener:
    """Fills a board from /diagnostics and the ROS graph."""

    def __init__(self, context: Any) -> None:
        """Join the graph of a context."""
        from diagnostic_msgs.msg import DiagnosticArray
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, ReliabilityPolicy

        self.board = Board(STALE)
        self._name = f'vla_drop_top_{os.getpid()}'
        self._node = rclpy.create_node(self._name, context=context, enable_rosout=False,
                                       start_parameter_services=False)
        # best effort hears publishers of either kind
        self._node.create_subscription(
            DiagnosticArray, '/diagnostics', self._on_diagnostics,
            QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT))
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)

    def listen(self, duration: float) -> Report:
        """Take what comes within ``duration`` [s], and return what there is to see then."""
        limit = time.monotonic() + duration
        while (left := limit - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=min(left, PERIOD))
        self.board.see(frozenset(
            f'{space.rstrip("/")}/{name}'
            for name, space in self._node.get_node_names_and_namespaces()))
        return self.board.report(time.monotonic())

    def first_report(self, patience: float) -> Report:
        """Listen until nobody is missing, and a moment more for other robots.

        Args:
            patience: the longest that somebody is waited for, [s].

        """
        limit = time.monotonic() + patience
        report = self.listen(0.0)
        while not report.is_complete and (left := limit - time.monotonic()) > 0.0:
            report = self.listen(min(left, PERIOD))
        return self.listen(SETTLE) if report.robots else report

    def _on_diagnostics(self, message: Any) -> None:
        now = time.monotonic()
        for status in message.status:
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            self.board.add(status.name, Status(
                level, status.message, {pair.key: pair.value for pair in status.values}, now))
