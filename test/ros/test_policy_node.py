# SPDX-License-Identifier: Apache-2.0
"""The policy node publishes chunks for what it is asked, and says what it waits for."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64, String
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import header, pose_message
from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.robot_inputs import seconds
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

pytestmark = pytest.mark.ros

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'
SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 1)
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')


class FakePolicy:
    """Moves by the mean colour of the front image; waits while ``gate`` is closed."""

    spec = SPEC
    cameras: Mapping[str, CameraSpec] = {'front': CameraSpec(4, 4), 'wrist': CameraSpec(4, 4)}
    state_names: tuple[str, ...] = STATE_NAMES

    def __init__(self, name: str) -> None:
        self.checkpoint, self.gate = name, threading.Event()
        self.observations: list[Observation] = []
        self.gate.set()

    def infer(self, observation: Observation) -> ActionChunk:
        self.observations.append(observation)
        assert self.gate.wait(10.0)
        actions = np.full((4, 4), observation.images['front'].mean() / 255)
        return ActionChunk(observation.stamp, actions, SPEC, 0.01, self.checkpoint)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Bench:
    """A robot at 20 Hz and the node with fake checkpoints, on the system clock."""

    def __init__(self, start: bool = True, **settings: Any) -> None:
        self.policies = {name: FakePolicy(name) for name in ('a', 'b')}
        self.context = Context()
        self.context.init()
        values = {'robot': str(ROBOT), 'checkpoint': 'a', **settings}
        self.policy = PolicyNode(
            self.context, [Parameter(name, value=value) for name, value in values.items()],
            self.load, self.check)
        self.node = Node('robot', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.policy, self.node):
            self.executor.add_node(node)
        self.seen: dict[str, list[Any]] = {}
        for kind, topic, qos in (
                (JointTrajectory, 'policy_node/action_chunk', COMMAND),
                (String, 'policy_node/checkpoint', LATCHED),
                (Float64, 'policy_node/latency', STATUS),
                (DiagnosticArray, '/diagnostics', STATUS)):
            self.node.create_subscription(
                kind, topic, self.seen.setdefault(topic, []).append, qos)
        self.images = {key: self.node.create_publisher(Image, f'{key}_camera/image_raw', IMAGE)
                       for key in ('front', 'wrist')}
        self.cameras = ['front', 'wrist']
        self.pose = self.node.create_publisher(PoseStamped, 'ee_pose', STATE)
        self.joints = self.node.create_publisher(JointState, 'joint_states', STATE)
        self.instruction = self.node.create_publisher(String, 'instruction', LATCHED)
        self.node.create_timer(0.05, self.report)
        if start:
            assert self.policy.start()

    def load(self, path: str) -> FakePolicy:
        if path not in self.policies:
            raise CheckpointError('damaged')
        return self.policies[path]

    def check(self, path: str, contract: RobotContract | None) -> None:
        if path == 'foreign':
            raise CheckpointError('does not fit the robot')

    def report(self) -> None:
        """Publish what the robot sees now."""
        now = self.node.get_clock().now().nanoseconds * 1e-9
        self.pose.publish(pose_message(now, 'base_link', np.array([0.5, 0.1, 0.3]),
                                       np.array([0.0, 0.0, 0.0, 1.0])))
        self.joints.publish(JointState(header=header(now, ''), name=['finger_joint1'],
                                       position=[0.02]))
        for key in self.cameras:
            image = np.full((4, 4, 3), 51, dtype=np.uint8)
            self.images[key].publish(image_message(image, now, key))

    @property
    def chunks(self) -> list[JointTrajectory]:
        """Return all chunks, pauses included."""
        return self.seen['policy_node/action_chunk']

    @property
    def diagnosis(self) -> str:
        """Return the newest diagnostic sentence."""
        messages = self.seen['/diagnostics']
        return str(messages[-1].status[0].message) if messages else ''

    def until(self, condition: Callable[[], Any], limit: float = 20.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f'did not happen in time; {self.diagnosis!r}'
            self.executor.spin_once(timeout_sec=0.05)

    def instruct(self, text: str) -> None:
        """Publish an instruction."""
        self.instruction.publish(String(data=text))

    def close(self) -> None:
        """End everything."""
        for policy in self.policies.values():
            policy.gate.set()
        self.policy.close()
        for node in (self.policy, self.node):
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(**settings: Any) -> Bench:
        benches.append(Bench(**settings))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def test_instruction_makes_chunks(make: Callable[..., Bench]) -> None:
    """A chunk carries the names, frame, times and capture stamp that the gate expects."""
    bench = make()
    bench.instruct('put the red cube in the left bin')
    bench.until(lambda: len(bench.chunks) >= 3)
    chunk = bench.chunks[-1]
    assert (tuple(chunk.joint_names), chunk.header.frame_id) == (SPEC.names, 'base_link')
    assert [seconds(point.time_from_start) for point in chunk.points] == (
        pytest.approx([0.1, 0.2, 0.3, 0.4]))
    assert chunk.points[0].positions[0] == pytest.approx(0.2)
    seen = bench.policies['a'].observations[-1]
    assert seen.state == pytest.approx([0.5, 0.1, 0.3, 0.04])
    assert seen.instruction == 'put the red cube in the left bin'
    assert 0.0 < bench.seen['policy_node/latency'][-1].data < 5.0
    assert bench.seen['policy_node/checkpoint'][-1].data == 'a'


def test_nothing_is_published_without_an_instruction(make: Callable[..., Bench]) -> None:
    """The node waits for an instruction and says so."""
    bench = make()
    bench.until(lambda: 'no instruction yet' in bench.diagnosis)
    assert not bench.chunks and not bench.policies['a'].observations


def test_missing_camera_is_named_and_stops_the_chunks(make: Callable[..., Bench]) -> None:
    """When a camera dies there are no chunks, and the diagnostics name it and its topic."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.chunks)
    bench.cameras.remove('wrist')
    bench.until(lambda: "camera 'wrist' too old" in bench.diagnosis
                and 'wrist_camera/image_raw' in bench.diagnosis)
    count = len(bench.chunks)
    bench.until(lambda: len(bench.seen['/diagnostics']) % 2 == 0)
    assert len(bench.chunks) == count


def test_empty_instruction_pauses_and_voids_the_running_inference(
        make: Callable[..., Bench]) -> None:
    """The empty chunk is the last word, although an inference was under way."""
    bench = make()
    policy = bench.policies['a']
    policy.gate.clear()
    bench.instruct('go')
    bench.until(lambda: policy.observations)
    bench.instruct('')
    bench.until(lambda: bench.chunks)
    policy.gate.set()
    bench.until(lambda: 'paused' in bench.diagnosis)
    assert [len(chunk.points) for chunk in bench.chunks] == [0]


def test_callbacks_go_on_during_an_inference(make: Callable[..., Bench]) -> None:
    """A slow model does not keep the executor from answering."""
    bench = make()
    bench.policies['a'].gate.clear()
    bench.instruct('go')
    bench.until(lambda: bench.policies['a'].observations)
    count = len(bench.seen['/diagnostics'])
    bench.until(lambda: len(bench.seen['/diagnostics']) > count)


def test_checkpoint_swaps_while_running(make: Callable[..., Bench]) -> None:
    """Setting the parameter swaps the policy and announces its hash."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.chunks)
    assert bench.policy.set_parameters([Parameter('checkpoint', value='b')])[0].successful
    bench.until(lambda: bench.seen['policy_node/checkpoint'][-1].data == 'b')
    bench.until(lambda: bench.policies['b'].observations)


def test_foreign_checkpoint_is_refused_at_once(make: Callable[..., Bench]) -> None:
    """One that does not fit the robot never becomes the parameter's value."""
    bench = make()
    result = bench.policy.set_parameters([Parameter('checkpoint', value='foreign')])[0]
    assert not result.successful and 'does not fit' in result.reason
    assert bench.policy.get_parameter('checkpoint').value == 'a'


def test_failed_load_keeps_the_old_checkpoint(make: Callable[..., Bench]) -> None:
    """The old policy goes on, the diagnostics say why, the parameter tells the truth again."""
    bench = make()
    bench.instruct('go')
    bench.until(lambda: bench.chunks)
    assert bench.policy.set_parameters([Parameter('checkpoint', value='absent')])[0].successful
    bench.until(lambda: "'absent' was not loaded: damaged; still running 'a'" in bench.diagnosis)
    bench.until(lambda: bench.policy.get_parameter('checkpoint').value == 'a')
    count = len(bench.chunks)
    bench.until(lambda: len(bench.chunks) > count)


@pytest.mark.parametrize('checkpoint', ['absent', 'foreign'])
def test_bad_first_checkpoint_fails_configure(make: Callable[..., Bench],
                                              checkpoint: str) -> None:
    """Without a usable checkpoint the node does not start, and the reason is kept."""
    bench = make(start=False, checkpoint=checkpoint)
    assert not bench.policy.start()
    assert bench.policy.failure


def test_deactivation_ends_with_the_empty_chunk(make: Callable[..., Bench]) -> None:
    """The gate is told to hold, and no chunk follows."""
    bench = make(instruction='go')
    bench.until(lambda: bench.chunks)
    bench.policy.trigger_deactivate()
    bench.until(lambda: not bench.chunks[-1].points)
    bench.until(lambda: 'inactive' in bench.diagnosis)
    assert not bench.chunks[-1].points


WITHOUT_TORCH = """
import sys
sys.modules['torch'] = None
from vla_drop_ros.nodes.policy_node import main
sys.exit(main())
"""


def end_without_torch(checkpoint: Path) -> str:
    """Return what the process says, which cannot start."""
    ended = subprocess.run(
        [sys.executable, '-c', WITHOUT_TORCH, '--ros-args', '-p', 'autostart:=true', '-p',
         f'robot:={ROBOT}', '-p', f'checkpoint:={checkpoint}'],
        capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1 and 'Traceback' not in ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.e2e
def test_absent_checkpoint_is_named_without_torch(tmp_path: Path) -> None:
    """The process checks the manifest, and says what is wrong, before torch is needed."""
    assert 'does not exist' in end_without_torch(tmp_path / 'none')


@pytest.mark.e2e
def test_missing_torch_is_named(tiny_checkpoint: Path) -> None:
    """A machine without torch is told what to install."""
    assert 'pip install torch' in end_without_torch(tiny_checkpoint)
