# SPDX-License-Identifier: Apache-2.0
"""The whole graph as real processes: it starts, moves the arm, and ends as it should."""

from collections.abc import Callable, Iterator
from contextlib import suppress
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any
import uuid

from geometry_msgs.msg import PoseStamped
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import String

from vla_drop_ros.bringup import build
from vla_drop_ros.nodes.messages import pose_values
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATE
from vla_drop_ros.shared_memory import FOLDER
from vla_drop_ros.supervisor import Running

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
INSTRUCTION = 'put the red cube in the left bin'
CYCLES = int(os.environ.get('VLA_DROP_TEST_CYCLES', '2'))


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a ROS domain of our own, set for the processes of the graph too."""
    number = 40 + os.getpid() % 60
    monkeypatch.setenv('ROS_DOMAIN_ID', str(number))
    return number


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a text that every process started by this test carries in its environment."""
    text = uuid.uuid4().hex
    monkeypatch.setenv('VLA_DROP_TEST_MARK', text)
    return text


def marked_processes(mark: str) -> list[str]:
    """Return the command lines of the living processes that carry the mark, except this one."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            if (mark.encode() in (folder / 'environ').read_bytes()
                    and int(folder.name) != os.getpid()):
                found.append((folder / 'cmdline').read_bytes().replace(b'\0', b' ').decode())
    return found


class Listener:
    """What a bystander on the ROS domain hears."""

    def __init__(self, domain: int) -> None:
        self.context = Context()
        self.context.init(domain_id=domain)
        self.node = Node('bystander', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.targets: list[tuple[float, ...]] = []
        self.measured: list[tuple[float, ...]] = []
        self.states: list[str] = []
        for kind, topic, callback, qos in (
                (PoseStamped, 'target_pose', self._store(self.targets), COMMAND),
                (PoseStamped, 'ee_pose', self._store(self.measured), STATE),
                (String, 'command_gate/state', lambda m: self.states.append(m.data), LATCHED)):
            self.node.create_subscription(kind, topic, callback, qos)

    @staticmethod
    def _store(where: list[tuple[float, ...]]) -> Callable[[Any], None]:
        return lambda message: where.append(tuple(pose_values(message)[0]))

    def until(self, condition: Callable[[], Any], limit: float = 180.0) -> None:
        """Listen until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f'did not happen in time; gate: {self.states}'
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """End."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def listener(domain: int) -> Iterator[Listener]:
    """Return a bystander."""
    listener = Listener(domain)
    yield listener
    listener.close()


@pytest.fixture
def start(tiny_checkpoint: Path, mark: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a starter of `vla_drop up pick_place` whose output goes to a file."""
    processes = []

    def run() -> 'subprocess.Popen[bytes]':
        with (tmp_path / 'output').open('wb') as output:
            processes.append(subprocess.Popen(
                [sys.executable, '-m', 'vla_drop_ros', 'up', 'pick_place', '--checkpoint',
                 str(tiny_checkpoint), '--instruction', INSTRUCTION], cwd=ROOT, stdout=output,
                stderr=subprocess.STDOUT))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_the_last_command_is_the_safe_one(
        start: Callable[..., Any], listener: Listener, mark: str, tmp_path: Path) -> None:
    """Asked to stop in full motion, the graph ends by holding where the arm was measured."""
    process = start()
    listener.until(lambda: 'executing' in listener.states and len(listener.targets) > 20)
    moving = len(listener.targets)
    process.send_signal(signal.SIGTERM)
    listener.until(lambda: process.poll() is not None)
    listener.until(lambda: listener.states[-1] == 'inactive')
    output = (tmp_path / 'output').read_text(encoding='utf-8')
    assert process.returncode == 0, output
    assert listener.states[-2].startswith('holding')  # the policy stopped before the gate
    assert len(listener.targets) > moving
    assert listener.targets[-1] in listener.measured
    assert listener.targets[-1] == listener.targets[-2]
    assert not marked_processes(mark)
    assert 'Traceback' not in output


def test_nothing_outlives_a_killed_parent(
        start: Callable[..., Any], listener: Listener, mark: str) -> None:
    """SIGKILL of `vla_drop up` still ends with the safe command, and leaves no process."""
    process = start()
    listener.until(lambda: 'executing' in listener.states)
    process.kill()
    process.wait()
    listener.until(lambda: not marked_processes(mark), limit=20.0)
    listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    assert listener.targets[-1] in listener.measured


def test_a_crash_of_the_policy_stops_the_graph(
        start: Callable[..., Any], listener: Listener, mark: str, tmp_path: Path) -> None:
    """A policy that dies is named, the gate holds, and the rest is stopped."""
    process = start()
    listener.until(lambda: 'executing' in listener.states)
    policy = next(int(folder.name) for folder in Path('/proc').glob('[0-9]*')
                  if is_marked_policy(folder, mark))
    os.kill(policy, signal.SIGKILL)
    listener.until(lambda: process.poll() is not None)
    assert process.returncode == 1
    output = (tmp_path / 'output').read_text(encoding='utf-8')
    assert 'node policy_node ended by itself (signal SIGKILL)' in output
    listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    assert listener.targets[-1] in listener.measured
    assert not marked_processes(mark)


def is_marked_policy(folder: Path, mark: str) -> bool:
    """Say whether a process of /proc is our policy node."""
    try:
        return (mark.encode() in (folder / 'environ').read_bytes()
                and b'vla_drop_ros.nodes.policy_node' in (folder / 'cmdline').read_bytes())
    except OSError:
        return False


def test_it_starts_and_stops_again_and_again(
        tiny_checkpoint: Path, listener: Listener, mark: str) -> None:
    """Start and stop leave no process and no shared memory, however often."""
    graph = build('pick_place', {'checkpoint': str(tiny_checkpoint), 'instruction': INSTRUCTION})
    before = {path.name for path in FOLDER.glob('fastrtps_*')}
    for _ in range(CYCLES):
        listener.states.clear()
        with Running(graph) as running:
            listener.until(lambda: running.check() or 'executing' in listener.states)
            assert running.stop() == ()
        assert not marked_processes(mark)
        listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    left = {path.name for path in FOLDER.glob('fastrtps_*')} - before
    assert not {name for name in left if not name.startswith('fastrtps_port')}
