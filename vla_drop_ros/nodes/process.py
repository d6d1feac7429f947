# SPDX-License-Identifier: Apache-2.0
"""One node in its own process: start, spin, and an end that is always orderly."""

from collections.abc import Callable, Sequence
import gc
import signal
import sys
from types import FrameType
from typing import Protocol

import rclpy
from rclpy.exceptions import InvalidParameterValueException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from vla_drop_ros.errors import VlaDropError

SPIN_TIMEOUT = 0.1


class Closable(Protocol):
    """What a node of this package offers to its process."""

    def start(self) -> bool:
        """Begin work; return False when the node could not start."""

    def close(self) -> None:
        """Publish the safety action, if any, and stop."""


class StopRequest:
    """SIGINT and SIGTERM: interrupts a start at once, ends a spin between two callbacks."""

    def __init__(self) -> None:
        """Install the handlers."""
        self.requested = False
        self._spinning = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def spin_begins(self) -> None:
        """From now on a signal only sets ``requested``."""
        self._spinning = True

    def ignore(self) -> None:
        """Let no further signal disturb the end: Ctrl-C often arrives twice, from two sides."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._spinning:
            raise KeyboardInterrupt


def run_node(create: Callable[[], Node], args: Sequence[str] | None = None,
             autostart: Callable[[Node], bool] = lambda node: True,
             until: Callable[[Node], bool] = lambda node: False) -> int:
    """Run one node until SIGINT, SIGTERM or the end of its work; return the exit code.

    rclpy's own signal handlers stay out: they shut the context down, and the safety action could
    no longer be published.

    Args:
        create: builds the node, after rclpy is initialised; it has ``start`` and ``close``.
        args: command line with --ros-args; None takes the process's.
        autostart: whether ``start`` is called before spinning.
        until: whether the work of a node that has an end is done.

    """
    stop = StopRequest()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    node: Node | None = None
    try:
        node = create()
        if autostart(node) and not node.start():
            return 1
        stop.spin_begins()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not stop.requested and not until(node):
            executor.spin_once(timeout_sec=SPIN_TIMEOUT)
        return 0
    except (VlaDropError, ParameterException, InvalidParameterValueException) as error:
        sys.stderr.write(f'{error}\n')
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        stop.spin_begins()
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
        stop.ignore()
        gc.freeze()  # else the interpreter's end searches the objects of torch, for seconds
