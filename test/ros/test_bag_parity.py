# SPDX-License-Identifier: Apache-2.0
"""A dataset made of a recording is what the policy was given live, frame for frame.

Images, instruction, stamps and pose are equal to the last bit, and so is the gripper's width, but
for one thing: live, a joint state may still be under way when the policy is asked, which then uses
the one before; the recording waits for it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String

from vla_drop_ros.bringup import find_checkpoint, find_contract
from vla_drop_ros.cli.main import main
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.dataset.bag import Bag, IMAGE, JOINT_STATE, NUMBERS, POSE, STRING
from vla_drop_ros.dataset.conversion import convert, Layout
from vla_drop_ros.dataset.reader import Dataset
from vla_drop_ros.dataset.replay import Replay
from vla_drop_ros.dataset.robot_topics import find_topics
from vla_drop_ros.errors import SimulationError
from vla_drop_ros.nodes.messages import pose_message
from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.qos import COMMAND, LATCHED, STATE
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.runtime.robot_inputs import joint_values, pose_values, stamp_of
from vla_drop_ros.simulation.opengl import choose_backend
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

pytestmark = [pytest.mark.ros, pytest.mark.slow]

CONTRACT = load_contract(find_contract('simulated_arm'))
NAMES, STATE_NAMES = ('x', 'y', 'z', 'gripper'), ('ee.x', 'ee.y', 'ee.z', 'gripper.width')
KEYS = ('front', 'wrist')
FIRST, SECOND = 'put the red cube in the left bin', 'put the blue cube in the right bin'
FRAMES = 12  # of each instruction
SAMPLE = 0.02 * 0.5  # [m], more than anything moves between two state messages
LOSSLESS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
RECORDED: Mapping[str, tuple[type, str, QoSProfile]] = {
    'front_camera/image_raw': (Image, IMAGE, LOSSLESS),
    'wrist_camera/image_raw': (Image, IMAGE, LOSSLESS),
    'ee_pose': (PoseStamped, POSE, LOSSLESS), 'joint_states': (JointState, JOINT_STATE, LOSSLESS),
    'instruction': (String, STRING, LATCHED), 'target_pose': (PoseStamped, POSE, LOSSLESS),
    'gripper_command': (Float64MultiArray, NUMBERS, LOSSLESS)}


class Watcher:
    """A policy that only keeps what it is given."""

    spec = ActionSpec(NAMES, 'base_link', 'delta', 0.05, 1, 1)
    cameras: Mapping[str, CameraSpec] = dict.fromkeys(KEYS, CameraSpec(80, 80))
    state_names: tuple[str, ...] = STATE_NAMES
    checkpoint = 'watcher'

    def __init__(self) -> None:
        self.observations: list[Observation] = []

    def infer(self, observation: Observation) -> ActionChunk:
        self.observations.append(observation)
        return ActionChunk(observation.stamp, np.zeros((1, 4)), self.spec, 0.0, self.checkpoint)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Cell:
    """The simulated robot, the policy node, a recorder and someone who moves the arm."""

    def __init__(self, folder: Path) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer
        from rosbags.typesys import get_typestore, Stores

        from vla_drop_ros.nodes.simulated_robot_node import SimulatedRobotNode
        self.watcher, self.commands = Watcher(), list[tuple[float, np.ndarray]]()
        self.context = Context()
        self.context.init()
        self.robot = SimulatedRobotNode(self.context, parameters(speed=0.5))
        self.policy = PolicyNode(
            self.context, parameters(robot=str(find_contract('simulated_arm')),
                                     checkpoint='watcher', use_sim_time=True),
            lambda path: self.watcher, lambda path, contract: None)
        self.node = Node('recorder', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.robot, self.policy, self.node):
            self.executor.add_node(node)
        self.writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self.writer.open()
        for topic, (kind, name, qos) in RECORDED.items():
            connection = self.writer.add_connection(
                f'/{topic}', name, typestore=get_typestore(Stores.LATEST))
            self.node.create_subscription(kind, topic, self.recorder(connection), qos, raw=True)
        self.arm = self.node.create_publisher(PoseStamped, 'target_pose', COMMAND)
        self.width = self.node.create_publisher(Float64MultiArray, 'gripper_command', COMMAND)
        self.instruction = self.node.create_publisher(String, 'instruction', LATCHED)
        self.node.create_subscription(PoseStamped, 'ee_pose', self.move, STATE)

    def recorder(self, connection: Any) -> Callable[[bytes], None]:
        """Return what writes the bytes of a topic as they came over the wire."""
        def write(data: bytes) -> None:
            self.writer.write(connection, time.time_ns(), data)
        return write

    def move(self, message: PoseStamped) -> None:
        """Answer a pose with a target a little further along, and close the fingers slowly."""
        stamp = stamp_of(message)
        target = np.array(pose_values(message)[0]) + [0.0, 0.01 * np.sin(stamp), -0.002]
        self.commands.append((stamp, target))
        self.arm.publish(pose_message(stamp, 'base_link', target, np.array([1.0, 0.0, 0.0, 0.0])))
        self.width.publish(Float64MultiArray(data=[max(0.0, 0.08 - 0.01 * stamp)]))

    def until(self, condition: Callable[[], Any], limit: float = 120.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.05)

    def say(self, text: str) -> None:
        """Publish an instruction and wait for the policy to hear it."""
        before = self.policy._replanner.episode
        self.instruction.publish(String(data=text))
        self.until(lambda: self.policy._replanner.episode > before)

    def work(self, text: str) -> None:
        """Have the policy see some frames under an instruction, then a pause."""
        self.say(text)
        count = len(self.watcher.observations)
        self.until(lambda: len(self.watcher.observations) >= count + FRAMES)
        self.say('')
        moved = len(self.commands)
        self.until(lambda: len(self.commands) > moved + 30)

    def close(self) -> None:
        """End everything."""
        self.executor.shutdown()
        self.policy.close()
        self.robot.close()
        for node in (self.robot, self.policy, self.node):
            node.destroy_node()
        self.context.try_shutdown()


def parameters(**values: Any) -> list[Parameter]:
    """Return parameter overrides."""
    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Cell]]:
    """Return a bag, and the cell that it was recorded in, both ended."""
    pytest.importorskip('rosbags')
    try:
        choose_backend()
    except SimulationError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp('parity') / 'bag'
    with private_domain():
        cell = Cell(folder)
        try:
            assert cell.robot.start() and cell.policy.start()
            cell.until(lambda: cell.commands)
            cell.work(FIRST)
            cell.work(SECOND)
        finally:
            cell.close()
            cell.writer.close()
    yield folder, cell


def test_replay_is_what_the_policy_saw(recorded: tuple[Path, Cell]) -> None:
    """Of equal stamps images, instruction and pose are equal to the last bit, most widths too.

    A width that is not is, to the last bit, the joint state before: the other was under way.
    """
    folder, cell = recorded
    with Bag(folder) as bag:
        topics = find_topics(bag, CONTRACT, KEYS, namespace='', joints=True, instruction=True,
                             command=True, gripper=True)
        replay = Replay(CONTRACT, topics, KEYS, STATE_NAMES)
        seen = {one.stamp: replay.inputs.observation(one.snapshot, STATE_NAMES, one.instruction)
                for one in replay.play(bag.read(topics.inputs))}
        widths = recorded_widths(bag, topics.joints)
    live = cell.watcher.observations
    common = [one for one in live if one.stamp in seen]
    assert len(live) >= 2 * FRAMES and len(common) >= 0.9 * len(live)
    exact = 0
    for one in common:
        other = seen[one.stamp]
        assert set(one.images) == set(other.images) == set(KEYS)
        assert all(np.array_equal(one.images[key], other.images[key]) for key in KEYS)
        assert one.instruction == other.instruction
        exact += np.array_equal(one.state, other.state)
        assert np.array_equal(one.state[:3], other.state[:3])
        place = widths.index(other.state[3])
        assert one.state[3] in widths[max(0, place - 1):place + 1]
    assert exact >= 0.9 * len(common)
    assert {one.instruction for one in common} == {FIRST, SECOND}


def test_the_dataset_is_what_the_policy_saw(recorded: tuple[Path, Cell], tmp_path: Path) -> None:
    """Every frame of the dataset was given to the policy live, with its state and instruction.

    Its action is the way between the newest commands before it and before the next frame.
    """
    folder, cell = recorded
    layout = Layout(KEYS, STATE_NAMES, NAMES, 'base_link', 'delta')
    outcome = convert([folder], CONTRACT, layout, tmp_path / 'set')
    dataset = Dataset(tmp_path / 'set')
    live = {b''.join(one.images[key].tobytes() for key in KEYS): one
            for one in cell.watcher.observations}
    assert len(live) == len(cell.watcher.observations), 'two frames look alike: move faster'
    stamps: list[float | None] = []
    for index in range(len(dataset)):
        seen = dataset.observation(index)
        one = live.get(b''.join(seen.images[key].tobytes() for key in KEYS))
        stamps.append(one.stamp if one else None)
        if one is not None:
            assert np.abs(seen.state - one.state).max() <= SAMPLE
            assert seen.instruction == one.instruction
    known = [index for index, stamp in enumerate(stamps) if stamp is not None]
    assert len(known) >= 0.9 * len(dataset) and len(dataset) >= 2 * FRAMES - 4
    for first, second in zip(known, known[1:], strict=False):
        if second == first + 1 and dataset.episode[first] == dataset.episode[second]:
            moved = commanded(cell, stamps[second]) - commanded(cell, stamps[first])
            assert dataset.actions(first, 1)[0][0, :3] == pytest.approx(moved, abs=1e-6)
    assert outcome.episodes == dataset.episodes == 2
    assert 'paused by an empty instruction' in outcome.left_out


def test_the_dataset_fits_the_reference_policy(recorded: tuple[Path, Cell], tmp_path: Path,
                                               ) -> None:
    """What the command line writes for the shipped policy can rank and recover it."""
    pytest.importorskip('torch')
    from vla_drop_ros.policies.calibration import calibrate
    from vla_drop_ros.policies.model_policy import ModelPolicy
    from vla_drop_ros.policies.registry import load_policy
    assert main(['convert', str(recorded[0]), '--robot', 'simulated_arm', '--checkpoint',
                 'reference', '-o', str(tmp_path / 'set')]) == 0
    policy = load_policy(find_checkpoint('reference'), device='cpu', threads=1)
    assert isinstance(policy, ModelPolicy)
    assert calibrate(policy, Dataset(tmp_path / 'set'), 4).samples == 4


def recorded_widths(bag: Bag, topic: str | None) -> list[float]:
    """Return the gripper's width in every joint state of a bag, [m], in order."""
    assert topic is not None and CONTRACT.gripper is not None
    joint, scale = CONTRACT.gripper.joint, CONTRACT.gripper.scale
    return [joint_values(message.name, message.position)[joint] * scale
            for _, message in bag.read([topic])]


def commanded(cell: Cell, stamp: float | None) -> np.ndarray:
    """Return the newest target before a stamp, [m]."""
    assert stamp is not None
    return [target for at, target in cell.commands if at < stamp][-1]
