# SPDX-License-Identifier: Apache-2.0
"""Start a graph as processes, follow their output, and stop them in order, leaving nothing."""

from collections import deque
from collections.abc import Callable
import itertools
import os
import queue
import signal
import subprocess
import threading
import time
from types import TracebackType

from vla_drop_ros.bringup import Graph, interpreter, Node, SETTLED, STOP_DEADLINE
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.shared_memory import remove_leaked_segments

LineSink = Callable[[str, str], None]

KEPT_LINES = 20
POLL = 0.05  # [s] between looks at whether the user asked to hurry


class Child:
    """One process and the process group that it leads."""

    def __init__(self, node: Node, process: 'subprocess.Popen[str]') -> None:
        """Take over a process that was just started."""
        self.node = node
        self.process = process
        self.ended = threading.Event()
        self.started = time.monotonic()
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)

    def follow(self, sink: LineSink, ends: 'queue.SimpleQueue[Child | None]') -> None:
        """Pass on every line, and tell ``ends`` once the whole group has ended."""
        reader = threading.Thread(target=self._read, args=(sink,), daemon=True)
        reader.start()
        threading.Thread(target=self._await_end, args=(reader, ends), daemon=True).start()

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and to everything it started."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def _read(self, sink: LineSink) -> None:
        if self.process.stdout is None:
            raise ValueError('the process was started without a pipe')
        for line in self.process.stdout:
            self.lines.append(line.rstrip('\n'))
            sink(self.node.name, self.lines[-1])

    def _await_end(self, reader: threading.Thread,
                   ends: 'queue.SimpleQueue[Child | None]') -> None:
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)  # keeps the pid ours
        self.signal_group(signal.SIGKILL)  # what it started must not live on, nor hold the pipe
        self.process.wait()
        reader.join()
        self.ended.set()
        ends.put(self)

    @property
    def has_done_its_work(self) -> bool:
        """Return whether it ended well and was meant to end."""
        return self.node.has_end and self.process.returncode == 0

    @property
    def how(self) -> str:
        """Return how the process ended."""
        code = self.process.returncode
        return f'signal {signal.Signals(-code).name}' if code and code < 0 else f'exit code {code}'

    def describe_end(self) -> str:
        """Return how the process ended and what it said last."""
        said = '\n'.join(f'    {line}' for line in self.lines) or '    (nothing)'
        return f'node {self.node.name} ended by itself ({self.how}); its last lines:\n{said}'


class Running:
    """A graph of processes, alive inside a ``with`` block.

    Every process leads its own group and watches that we live, so a crashed, deaf or orphaned
    process is ended with all that it started, even if we die of SIGKILL.
    Not thread-safe except ``request_stop``, which signal handlers may call as well.
    """

    def __init__(self, graph: Graph, on_line: LineSink = lambda name, line: None,
                 deadline: float = STOP_DEADLINE, settled: float = SETTLED) -> None:
        """Prepare; nothing is started yet.

        Args:
            graph: what to start.
            on_line: called from other threads with node name and line, for every line of output.
            deadline: time a node has between SIGTERM and SIGKILL, [s].
            settled: life after which a node that respawns is started again, [s].

        """
        self._graph = graph
        self._settled = settled
        self._on_line = on_line
        self._deadline = deadline
        self._children: list[Child] = []
        self._ends: queue.SimpleQueue[Child | None] = queue.SimpleQueue()
        self._stop_requests = 0

    def __enter__(self) -> 'Running':
        """Start the graph."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        """Stop the graph."""
        self.stop()

    def start(self) -> None:
        """Start every process, first to last; if one cannot start, none stays."""
        remove_leaked_segments()
        try:
            for node in self._graph.nodes:
                self._children.append(self._started(node))
        except BaseException:
            self.stop()
            raise

    def _started(self, node: Node) -> Child:
        command = [interpreter(), *self._graph.lifeline(node, os.getpid(), self._deadline),
                   *self._graph.arguments(node)]
        child = Child(node, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors='replace', start_new_session=True,
            env={**os.environ, **self._graph.environment}))
        child.follow(self._on_line, self._ends)
        return child

    def wait(self, timeout: float | None = None) -> None:
        """Return after ``timeout`` [s], or once a stop was asked for or a node did its work.

        A node that died and may is started again, and the wait is over, too.

        Raises:
            NodeDiedError: a node ended by itself; the message holds its last lines.

        """
        if self._stop_requests:
            return
        try:
            child = self._ends.get(timeout=timeout)
        except queue.Empty:
            return
        if child is None:
            return
        if child.has_done_its_work:
            self.request_stop()
        elif child.node.respawns and time.monotonic() - child.started >= self._settled:
            self._on_line(child.node.name, f'died ({child.how}) and is started again')
            self._children[self._children.index(child)] = self._started(child.node)
        else:
            raise NodeDiedError(child.describe_end())

    def check(self) -> None:
        """Raise NodeDiedError if a node has ended by itself."""
        for child in self._children:
            if child.ended.is_set() and not (child.has_done_its_work or child.node.respawns):
                raise NodeDiedError(child.describe_end())

    def lines(self, name: str) -> tuple[str, ...]:
        """Return the last lines that the node said."""
        return next(tuple(child.lines) for child in self._children if child.node.name == name)

    def process_ids(self) -> tuple[int, ...]:
        """Return the process ids, in the order of the graph's nodes."""
        return tuple(child.process.pid for child in self._children)

    def request_stop(self) -> None:
        """End ``wait``; asked a second time, ``stop`` kills without waiting."""
        self._stop_requests += 1
        self._ends.put(None)

    @property
    def stop_requests(self) -> int:
        """How often a stop was asked for."""
        return self._stop_requests

    def stop(self) -> tuple[str, ...]:
        """Stop all, in the order of ``Node.stop_order``; return who had to be killed."""
        killed: list[str] = []
        children = sorted(self._children, key=lambda child: child.node.stop_order)
        for _, group in itertools.groupby(children, key=lambda child: child.node.stop_order):
            killed += self._stop_group([child for child in group if not child.ended.is_set()])
        self._children = []
        return tuple(killed)

    def _stop_group(self, children: list[Child]) -> list[str]:
        for child in children:
            child.process.terminate()
        limit = time.monotonic() + self._deadline
        killed = []
        for child in children:
            while not child.ended.wait(POLL):
                if time.monotonic() > limit or self._stop_requests > 1:
                    killed.append(child.node.name)
                    child.signal_group(signal.SIGKILL)
                    child.ended.wait()
        return killed
