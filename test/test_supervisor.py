# SPDX-License-Identifier: Apache-2.0
"""The supervisor leaves nothing behind, whatever its children do."""

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from vla_drop_ros.bringup import Graph, Node
from vla_drop_ros.errors import NodeDiedError
from vla_drop_ros.supervisor import Running

POLITE = """
    import signal, sys, time
    def stop(*_):
        with open('{log}', 'a') as log:
            log.write('{name} ')
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    print('ready', flush=True)
    signal.pause()
"""
DEAF = """
    import signal, subprocess
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(['sleep', '600'])
    print('ready', child.pid, flush=True)
    signal.pause()
    while True:
        signal.pause()
"""
CRASHING = """
    print('the joint is on fire', flush=True)
    raise SystemExit(7)
"""


@pytest.fixture
def make_graph(tmp_path: Path) -> Callable[..., Graph]:
    """Return a function that builds a graph from name -> (source, stop order)."""
    def build(**nodes: tuple[str, int]) -> Graph:
        for name, (source, _) in nodes.items():
            text = textwrap.dedent(source).replace('{name}', name)
            (tmp_path / f'fake_{name}.py').write_text(
                text.replace('{log}', str(tmp_path / 'log')), encoding='utf-8')
        root = Path(__file__).resolve().parent.parent
        return Graph(tuple(Node(name, f'fake_{name}', stop_order=order)
                           for name, (_, order) in nodes.items()),
                     environment={'PYTHONPATH': f'{tmp_path}{os.pathsep}{root}'})
    return build


def until(condition: Callable[[], object], limit: float = 10.0) -> None:
    """Wait for a condition that other processes bring about."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, 'did not happen in time'
        os.sched_yield()


def alive(pid: int) -> bool:
    """Say whether a process runs (a zombie does not)."""
    try:
        return Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').split()[2] != 'Z'
    except FileNotFoundError:
        return False


def test_stops_in_the_order_asked_for(make_graph: Callable[..., Graph], tmp_path: Path) -> None:
    """A node is asked to stop only after those with a smaller stop order have ended."""
    graph = make_graph(robot=(POLITE, 2), gate=(POLITE, 1), policy=(POLITE, 0))
    with Running(graph) as running:
        until(lambda: all('ready' in running.lines(node.name) for node in graph.nodes))
    assert (tmp_path / 'log').read_text(encoding='utf-8').split() == ['policy', 'gate', 'robot']


def test_kills_the_deaf_and_their_children(make_graph: Callable[..., Graph]) -> None:
    """A process that ignores SIGTERM is killed with what it started, and is named."""
    running = Running(make_graph(deaf=(DEAF, 0)), deadline=0.2)
    running.start()
    until(lambda: running.lines('deaf'))
    grandchild = int(running.lines('deaf')[0].split()[1])
    assert alive(grandchild)
    assert running.stop() == ('deaf',)
    until(lambda: not alive(grandchild))


def test_names_the_node_that_died(make_graph: Callable[..., Graph]) -> None:
    """A crash ends the wait and tells the name, the exit code and the last lines."""
    graph = make_graph(policy=(CRASHING, 0), gate=(POLITE, 1))
    with Running(graph) as running, \
            pytest.raises(NodeDiedError, match=r'(?s)policy .*exit code 7.*the joint is on fire'):
        running.wait(timeout=10.0)


def test_a_node_that_respawns_does_not_end_the_others(make_graph: Callable[..., Graph]) -> None:
    """It is started again, at its place; one that dies at its start ends the graph."""
    graph = make_graph(gate=(POLITE, 1), recorder=(POLITE, 2))
    graph = replace(graph, nodes=(graph.nodes[1], graph.nodes[0]))
    graph = replace(graph, nodes=(replace(graph.nodes[0], respawns=True), graph.nodes[1]))
    said: list[str] = []
    with Running(graph, lambda name, line: said.append(f'{name} {line}'), settled=0.0) as running:
        until(lambda: running.lines('recorder') and running.lines('gate'))
        before = running.process_ids()
        os.kill(before[0], signal.SIGKILL)
        running.wait(timeout=10.0)
        running.check()
        after = running.process_ids()
        assert after[1] == before[1] and after[0] != before[0]
        until(lambda: running.lines('recorder'))
    assert 'recorder died (signal SIGKILL) and is started again' in said
    with Running(graph) as running:
        until(lambda: running.lines('recorder') and running.lines('gate'))
        os.kill(running.process_ids()[0], signal.SIGKILL)
        with pytest.raises(NodeDiedError, match='node recorder ended by itself'):
            running.wait(timeout=10.0)


def test_a_second_stop_request_does_not_wait(make_graph: Callable[..., Graph]) -> None:
    """Ctrl-C twice kills at once instead of waiting for the deadline."""
    running = Running(make_graph(deaf=(DEAF, 0)), deadline=60.0)
    running.start()
    until(lambda: running.lines('deaf'))
    running.request_stop()
    running.request_stop()
    began = time.monotonic()
    running.wait()
    assert running.stop() == ('deaf',)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize('source', [POLITE, DEAF])
def test_nothing_outlives_a_killed_parent(
        make_graph: Callable[..., Graph], tmp_path: Path, source: str) -> None:
    """SIGKILL of the supervisor's own process ends its children, deaf ones too."""
    graph = make_graph(child=(source, 0))
    script = tmp_path / 'parent.py'
    script.write_text(textwrap.dedent(f"""
        import os, signal
        from vla_drop_ros.bringup import Graph, Node
        from vla_drop_ros.supervisor import Running
        graph = Graph((Node('child', 'fake_child'),), environment={dict(graph.environment)!r})
        running = Running(graph, on_line=lambda name, line: print(line, flush=True), deadline=0.2)
        running.start()
        print('child', running.process_ids()[0], flush=True)
        signal.pause()
    """), encoding='utf-8')
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, **graph.environment})
    assert parent.stdout is not None
    said = sorted([parent.stdout.readline(), parent.stdout.readline()])
    child = int(said[0].split()[1])
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(child))
