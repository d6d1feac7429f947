# SPDX-License-Identifier: Apache-2.0
"""What robot, gate and policy publish reaches the session, and never holds them up."""

from collections.abc import Callable, Iterator
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Float64, Header, String, UInt64
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.nodes.command_adapters import ADAPTERS
from vla_drop_ros.nodes.messages import clock_seconds, header, joint_message, pose_message
from vla_drop_ros.nodes.policy_streams import BLIND
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.nodes.trial_streams import COMMANDS, hear_machines, hear_robot, MEASURED
from vla_drop_ros.trials.trial_measures import TrialMeasures

pytestmark = pytest.mark.ros

TURNED = np.array([0.0, 0.0, 0.0, 1.0])


class Session:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.measures, self.signs = TrialMeasures(), self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *what: self.told.append((name, *what))


class Bench:
    """The trial node's ears and a robot, in one executor."""

    def __init__(self, robot: str) -> None:
        self.contract, self.session = load_contract(find_contract(robot)), Session()
        self.context = Context()
        self.context.init()
        self.ears, self.robot = (Node(name, context=self.context) for name in ('ears', 'robot'))
        hear_machines(self.ears, self.session)  # type: ignore[arg-type]
        self.fetched = hear_robot(
            self.ears, self.session, self.contract, '',  # type: ignore[arg-type]
            lambda message: self.session.told.append(('image', message.width)))
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.ears, self.robot):
            self.executor.add_node(node)

    def say(self, topic: str, message: Any, qos: Any) -> tuple[Any, ...]:
        """Publish until something is heard; return what."""
        publisher = self.robot.create_publisher(type(message), topic, qos)
        before, end = len(self.session.told), time.monotonic() + 10.0
        while len(self.session.told) == before:
            assert time.monotonic() < end, topic
            if publisher.get_subscription_count():
                publisher.publish(message)
            self.spin()
        self.robot.destroy_publisher(publisher)
        return self.session.told[-1]

    def spin(self) -> None:
        """Let callbacks run, and fetch, as the node's timer does."""
        self.executor.spin_once(timeout_sec=0.05)
        for topic in self.fetched:
            topic.fetch()

    def close(self) -> None:
        for node in (self.ears, self.robot):
            node.destroy_node()
        self.context.shutdown()


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[[str], Bench]]:
    benches: list[Bench] = []

    def make(robot: str) -> Bench:
        benches.append(Bench(robot))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


def test_everything_arrives(make: Callable[[str], Bench]) -> None:
    """Poses and commands with their stamps, and what the machines say of themselves."""
    bench = make('simulated_arm')
    contract = bench.contract
    assert contract.pose is not None
    pose, command = (pose_message(stamp, contract.base_frame, np.array([0.25, 0.5, 0.75]), TURNED)
                     for stamp in (3.5, 4.5))
    chunk = JointTrajectory(header=header(5.5, ''), points=[JointTrajectoryPoint()])
    camera = next(iter(contract.cameras.values())).topic
    for topic, message, qos, heard in (
            (contract.pose.topic, pose, STATE, ('pose', 3.5, [0.25, 0.5, 0.75])),
            (contract.command.topic, command, COMMAND, ('commanded', 4.5)),
            ('policy_node/checkpoint', String(data='sealed:x'), LATCHED, ('policy', 'sealed:x')),
            ('policy_node/action_chunk', chunk, COMMAND, ('chunk', 5.5)),
            ('policy_node/heartbeat', Header(frame_id=BLIND), COMMAND, ('beat', True)),
            ('policy_node/heartbeat', Header(), COMMAND, ('beat', False)),
            ('command_gate/state', String(data='executing'), LATCHED, ('gate', 'executing')),
            ('command_gate/capture_to_command', Float64(data=0.25), STATUS, ('age', 0.25)),
            ('command_gate/commands_altered', UInt64(data=41), STATUS, ('hear', 'command_gate')),
            (camera, Image(width=64), IMAGE, ('image', 64))):
        assert bench.say(topic, message, qos) == heard
    assert bench.session.measures.clipped == 41


def test_what_says_nothing_is_passed_over(make: Callable[[str], Bench]) -> None:
    """A pose in another frame, an empty chunk; those that come after them are heard."""
    bench = make('simulated_arm')
    contract, told = bench.contract, bench.session.told
    assert contract.pose is not None
    poses = [pose_message(stamp, frame, np.zeros(3), TURNED)
             for stamp, frame in ((1.0, 'world'), (2.0, contract.base_frame))]
    chunks = [JointTrajectory(header=header(1.0, '')), JointTrajectory(
        header=header(2.0, ''), points=[JointTrajectoryPoint()])]
    for topic, qos, messages in ((contract.pose.topic, STATE, poses),
                                 ('policy_node/action_chunk', COMMAND, chunks)):
        publisher = bench.robot.create_publisher(type(messages[0]), topic, qos)
        end, count = time.monotonic() + 10.0, len(told)
        while len(told) < count + 3:
            assert time.monotonic() < end
            for message in messages:
                publisher.publish(message)
                bench.spin()
    assert {what[:2] for what in told} == {('pose', 2.0), ('chunk', 2.0)}


def test_commands_without_a_stamp(make: Callable[[str], Bench]) -> None:
    """Those of a joint trajectory start at once: the time at which they arrive is theirs."""
    bench = make('so101_joints')
    names = bench.contract.action.joints
    before = clock_seconds(bench.ears)
    bench.say(bench.contract.command.topic, joint_message(names, np.zeros(len(names)), 0.1),
              COMMAND)
    (what, stamp), = bench.session.told
    assert what == 'commanded' and before <= stamp <= clock_seconds(bench.ears)


@pytest.mark.parametrize('robot', ['simulated_arm', 'so101_joints', 'ur_servo'])
def test_the_gate_never_waits_for_this_node(make: Callable[[str], Bench], robot: str) -> None:
    """Its last command waits for every reliable receiver; a trial node that hangs is none."""
    bench = make(robot)
    offered = bench.ears.get_subscriptions_info_by_topic(bench.contract.command.topic)
    assert [one.qos_profile.reliability for one in offered] == [ReliabilityPolicy.BEST_EFFORT]


def test_poses_are_fetched_and_wake_nobody(make: Callable[[str], Bench]) -> None:
    """A second of a robot that measures at 1 kHz is fetched at three looks, without a callback."""
    bench = make('simulated_arm')
    assert bench.contract.pose is not None
    publisher = bench.robot.create_publisher(PoseStamped, bench.contract.pose.topic, MEASURED)

    def stamps() -> list[float]:
        return [what[1] for what in bench.session.told if what[0] == 'pose']

    while not publisher.get_subscription_count():
        bench.executor.spin_once(timeout_sec=0.05)
    for look in range(3):
        for number in range(333):
            publisher.publish(pose_message(
                1.0 + look + number / 1000.0, bench.contract.base_frame, np.zeros(3), TURNED))
        end = time.monotonic() + 10.0
        bench.executor.spin_once(timeout_sec=0.05)
        assert len(stamps()) == look * 333, 'no callback'
        while len(stamps()) < (look + 1) * 333:
            assert time.monotonic() < end
            bench.spin()
    assert len(stamps()) == 999 and stamps() == sorted(stamps())


def test_every_adapter_is_heard() -> None:
    """By the type of message that it sends."""
    sent = {name: adapter.message_type  # type: ignore[attr-defined]
            for name, adapter in ADAPTERS.items()}
    assert sent == COMMANDS
