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
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.bringup import build
from vla_drop_ros.nodes.messages import chunk_message, header
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATE
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.runtime.robot_inputs import pose_values, seconds
from vla_drop_ros.shared_memory import FOLDER, leaked_files
from vla_drop_ros.supervisor import Running
from vla_drop_ros.types import ActionChunk, ActionSpec

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
INSTRUCTION = 'put the red cube in the left bin'
ROBOT = 'vla_drop_ros.nodes.simulated_robot_node'
SPEC = ActionSpec(('x', 'y', 'z'), 'base_link', 'delta', 0.1, 10, 10)
WITHOUT_POLICY = """
from dataclasses import replace
import sys
from vla_drop_ros.bringup import build
from vla_drop_ros.cli.up import run
graph = build('pick_place', {'checkpoint': '.'})
sys.exit(run(replace(graph, nodes=graph.nodes[:-1])))
"""
CYCLES = int(os.environ.get('VLA_DROP_TEST_CYCLES', '2'))


@pytest.fixture
def domain() -> Iterator[int]:
    """Return a ROS domain of our own, set for the processes of the graph too."""
    with private_domain() as number:
        yield number


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

    def __init__(self, domain: int, namespace: str = '') -> None:
        self.context = Context()
        self.context.init(domain_id=domain)
        self.node = Node('bystander', context=self.context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.targets: list[tuple[float, ...]] = []
        self.measured: list[tuple[float, ...]] = []
        self.states: list[str] = []
        self._stamp = 0.0
        self._chunks = self.node.create_publisher(
            JointTrajectory, 'policy_node/action_chunk', COMMAND)
        self._life = self.node.create_publisher(Header, 'policy_node/heartbeat', COMMAND)
        for kind, topic, callback, qos in (
                (PoseStamped, 'target_pose', self._on_target, COMMAND),
                (PoseStamped, 'ee_pose', self._on_pose, STATE),
                (String, 'command_gate/state', lambda m: self.states.append(m.data), LATCHED)):
            self.node.create_subscription(kind, topic, callback, qos)

    def _on_target(self, message: PoseStamped) -> None:
        self.targets.append(tuple(pose_values(message)[0]))

    def _on_pose(self, message: PoseStamped) -> None:
        self.measured.append(tuple(pose_values(message)[0]))
        self._stamp = seconds(message.header.stamp)

    def drive(self) -> None:
        """Do the policy's part: ask for motion to the side, from the pose measured last."""
        actions = np.tile([0.0, 0.005, 0.0], (SPEC.chunk_length, 1))
        if self.measured:
            self._life.publish(header(self._stamp, ''))
            self._chunks.publish(chunk_message(ActionChunk(self._stamp, actions, SPEC)))

    def until(self, condition: Callable[[], Any], limit: float = 180.0,
              drive: bool = False) -> None:
        """Listen, and drive if asked to, until something has happened."""
        end, turn = time.monotonic() + limit, 0
        while not condition():
            assert time.monotonic() < end, f'did not happen in time; gate: {self.states}'
            self.executor.spin_once(timeout_sec=0.05)
            turn += 1
            if drive and turn % 10 == 0:
                self.drive()

    def has_moved(self) -> bool:
        """Say whether the gate executes and has sent a second of targets."""
        return 'executing' in self.states and len(self.targets) > 20

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
def start(mark: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a starter of `python ARGUMENT...` whose output goes to a file."""
    processes = []

    def run(*arguments: str) -> 'subprocess.Popen[bytes]':
        with (tmp_path / 'output').open('wb') as output:
            processes.append(subprocess.Popen([sys.executable, *arguments], cwd=ROOT,
                                              stdout=output, stderr=subprocess.STDOUT))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_the_last_command_is_the_safe_one(
        start: Callable[..., Any], listener: Listener, mark: str, tmp_path: Path,
        tiny_checkpoint: Path) -> None:
    """Asked to stop in full motion, the graph ends by holding where the arm was measured."""
    process = start('-m', 'vla_drop_ros', 'up', 'pick_place', '--checkpoint',
                    str(tiny_checkpoint), '--instruction', INSTRUCTION)
    listener.until(listener.has_moved)
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


def test_two_robots_are_no_concern_of_each_other(
        start: Callable[..., Any], domain: int, mark: str, tiny_checkpoint: Path) -> None:
    """In a namespace of its own each moves by its own clock; one is stopped, one goes on."""
    left, right = Listener(domain, 'left'), Listener(domain, 'right')
    outside = Listener(domain)
    stopped, _ = [start('-m', 'vla_drop_ros', 'up', 'pick_place', '--namespace', side,
                        '--checkpoint', str(tiny_checkpoint), '--instruction', INSTRUCTION)
                  for side in ('left', 'right')]
    for one in (left, right):
        one.until(one.has_moved)
    stopped.send_signal(signal.SIGTERM)
    left.until(lambda: stopped.poll() is not None)
    left.until(lambda: left.states[-1] == 'inactive')
    assert left.targets[-1] in left.measured and stopped.returncode == 0
    seen = len(right.targets)
    right.until(lambda: len(right.targets) > seen + 50 and right.states[-1] == 'executing')
    outside.executor.spin_once(timeout_sec=1.0)
    assert not outside.targets and not outside.states
    for one in (left, right, outside):
        one.close()


def test_nothing_outlives_a_killed_parent(
        start: Callable[..., Any], listener: Listener, mark: str) -> None:
    """SIGKILL of the starter still ends with the safe command, and leaves no process."""
    process = start('-c', WITHOUT_POLICY)
    listener.until(lambda: 'executing' in listener.states, drive=True)
    process.kill()
    process.wait()
    listener.until(lambda: not marked_processes(mark), limit=20.0)
    listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    assert listener.targets[-1] in listener.measured


def test_a_crash_stops_the_graph(
        start: Callable[..., Any], listener: Listener, mark: str, tmp_path: Path) -> None:
    """A node that dies is named, and the rest is stopped, the gate with the safe command."""
    process = start('-c', WITHOUT_POLICY)
    listener.until(lambda: 'executing' in listener.states, drive=True)
    os.kill(process_of(ROBOT, mark), signal.SIGKILL)
    listener.until(lambda: process.poll() is not None)
    assert process.returncode == 1
    output = (tmp_path / 'output').read_text(encoding='utf-8')
    assert 'node simulated_robot ended by itself (signal SIGKILL)' in output
    listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    assert listener.targets[-1] in listener.measured
    assert not marked_processes(mark)


def process_of(module: str, mark: str) -> int:
    """Return the process id of our node of that module."""
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):
            if (mark.encode() in (folder / 'environ').read_bytes()
                    and module.encode() in (folder / 'cmdline').read_bytes().split(b'\0')):
                return int(folder.name)
    raise AssertionError(f'no process runs {module}')


def test_it_starts_and_stops_again_and_again(listener: Listener, mark: str) -> None:
    """The shipped policy starts, moves and stops without a trace, however often."""
    graph = build('pick_place', {'checkpoint': 'reference', 'instruction': INSTRUCTION})
    before = set(leaked_files(FOLDER, 0.0))
    for _ in range(CYCLES):
        listener.states.clear()
        with Running(graph) as running:
            listener.until(lambda: 'executing' in listener.states)
            running.check()
            assert running.stop() == ()
        assert not marked_processes(mark)
        listener.until(lambda: listener.states[-1] == 'inactive', limit=5.0)
    left = set(leaked_files(FOLDER, 0.0)) - before  # what lives may be another run's
    assert not {path.name for path in left if not path.name.startswith('fastrtps_port')}
