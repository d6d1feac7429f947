# SPDX-License-Identifier: Apache-2.0
"""A right graph passes, and each defect of a wrong one is named: real nodes over real DDS."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time  # noqa: E402
from geometry_msgs.msg import PoseStamped, TwistStamped  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.duration import Duration  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, JointState  # noqa: E402
from std_msgs.msg import Bool, Float64MultiArray, Header, String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from vla_drop_ros.bringup import find_contract  # noqa: E402
from vla_drop_ros.contract_file import load_contract  # noqa: E402
from vla_drop_ros.contracts.finding import faults, Finding  # noqa: E402
from vla_drop_ros.graph_check import check_graph  # noqa: E402
from vla_drop_ros.live.expected import COMMAND, INPUT, LATCHED  # noqa: E402
from vla_drop_ros.nodes import qos  # noqa: E402
from vla_drop_ros.nodes.images import image_message  # noqa: E402
from vla_drop_ros.preflight import private_domain  # noqa: E402
from vla_drop_ros.robot_contract import RobotContract, Servo  # noqa: E402
from vla_drop_ros.types import CameraSpec  # noqa: E402

pytestmark = pytest.mark.ros

CONTRACT = load_contract(find_contract('simulated_arm'))
RELIABLE = QoSProfile(depth=1)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHING = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {'front_camera/image_raw': Image, 'wrist_camera/image_raw': Image,
          'ee_pose': PoseStamped, 'joint_states': JointState}
RATE, LISTENING = 40.0, 1.5


@dataclass(frozen=True)
class World:
    """A robot graph, right unless told otherwise; topic '' leaves a part out.

    Attributes:
        stamps: topic -> offset of its stamps [s]; NaN stamps zero, infinity always alike.
        rates: topic -> messages a second.
        build: adds what is wrong to the nodes.

    """

    stamps: Mapping[str, float] = ()  # type: ignore[assignment]
    rates: Mapping[str, float] = ()  # type: ignore[assignment]
    without: tuple[str, ...] = ()
    encoding: str = 'rgb8'
    size: tuple[int, int] = (64, 64)
    frame: str = 'base_link'
    joints: tuple[str, ...] = ('joint1', 'finger_joint1')
    quaternion: float = 1.0
    place: tuple[float, float] = (0.5, 0.3)
    positions: float = 0.01
    build: Callable[[Node], Any] = lambda node: None
    clock: float = 0.0


class Robot:
    """Publishes what a world says from a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('robot', context=self.context, start_parameter_services=False)
        self.stop = threading.Event()
        self.kept = world.build(self.node)
        node, gone = self.node, world.without
        self.publishers = {
            topic: node.create_publisher(kind, topic, RELIABLE)
            for topic, kind in TOPICS.items() if topic not in gone}
        self.listeners = [
            node.create_subscription(kind, topic, lambda message: None, RELIABLE)
            for topic, kind in (('target_pose', PoseStamped),
                                ('gripper_command', Float64MultiArray)) if topic not in gone]
        self.estop = None if 'estop' in gone else node.create_publisher(Bool, 'estop', RELIABLE)
        self.clock = node.create_publisher(Clock, '/clock', RELIABLE) if world.clock else None
        self.image = image_message(np.zeros((world.size[1], world.size[0], 3), np.uint8), 1.0, 'c')
        self.image.encoding = world.encoding
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(node)
        self.due = dict.fromkeys(self.publishers, 0.0)
        self.start = time.time()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.wait(0.002):
            self.executor.spin_once(timeout_sec=0)
            now = time.monotonic()
            for topic, publisher in self.publishers.items():
                if now >= self.due[topic]:
                    self.due[topic] = max(self.due[topic] + 1.0 / dict(self.world.rates).get(
                        topic, RATE), now)
                    publisher.publish(self._message(topic))
            if self.clock is not None:
                self.clock.publish(Clock(clock=stamp(time.time() - self.world.clock)))

    def _message(self, topic: str) -> Any:
        offset = dict(self.world.stamps).get(topic, 0.0)
        now = self.start if np.isinf(offset) else time.time() + offset
        header = Header(stamp=Time() if np.isnan(offset) else stamp(now),
                        frame_id=self.world.frame)
        if topic == 'ee_pose':
            message = PoseStamped(header=header)
            message.pose.orientation.w = self.world.quaternion
            message.pose.position.x, message.pose.position.z = self.world.place
            return message
        if topic == 'joint_states':
            names = list(self.world.joints)
            return JointState(header=header, name=names,
                              position=[self.world.positions] * len(names))
        self.image.header = header
        return self.image

    def close(self) -> None:
        """End the thread and leave the graph."""
        self.stop.set()
        self.thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def stamp(seconds: float) -> Time:
    """Return a stamp of [s]."""
    nanoseconds = round(seconds * 1e9)
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


@contextmanager
def running(world: World) -> Iterator[Robot]:
    """Hold the graph of a world."""
    robot = Robot(world)
    try:
        yield robot
    finally:
        robot.close()


@pytest.fixture(autouse=True, scope='module')
def _domain() -> Iterator[None]:
    with private_domain():
        yield


def found(world: World, contract: RobotContract = CONTRACT, **options: Any) -> list[Finding]:
    """Return what is found in a world."""
    with running(world):
        return check_graph(contract, LISTENING, **options)


def test_a_right_graph_passes() -> None:
    """No fault; rates, sizes, skew, clock and listeners are reported, and progress is shown."""
    told: list[Mapping[str, int]] = []
    findings = found(World(), cameras={'front': CameraSpec(32, 32)}, state_names=('joint.joint1',),
                     progress=lambda elapsed, counts: told.append(dict(counts)))
    assert not faults(findings), faults(findings)
    said = '\n'.join(f'{one.name} {one.said}' for one in findings if one.level == 'ok')
    for expected in ('cameras.front', 'Hz', '64x64', 'stamps are', 'wall clock', '/target_pose'):
        assert expected in said
    assert told and told[-1]['cameras.front'] > 10


def second(kind: type, topic: str, service: QoSProfile = RELIABLE) -> Callable[[Node], Any]:
    """Return a builder of one more publisher."""
    return lambda node: node.create_publisher(kind, topic, service)


def listener(kind: type, topic: str, service: QoSProfile = RELIABLE) -> Callable[[Node], Any]:
    """Return a builder of one more subscription."""
    return lambda node: node.create_subscription(kind, topic, lambda message: None, service)


DEFECTS: dict[str, tuple[World, str, str]] = {
    'absent': (World(without=('ee_pose',)), 'state.pose', 'nobody publishes /ee_pose'),
    'elsewhere': (World(without=('front_camera/image_raw',), build=second(Image, 'cam/image')),
                  'cameras.front', '/cam/image'),
    'type': (World(without=('ee_pose',), build=second(TwistStamped, 'ee_pose')), 'state.pose',
             'as geometry_msgs/msg/TwistStamped, needed is geometry_msgs/msg/PoseStamped'),
    'transport': (World(without=('wrist_camera/image_raw',), build=second(
        CompressedImage, 'wrist_camera/image_raw')),
                  'cameras.wrist', 'set transport: compressed'),
    'two': (World(build=lambda node: _another(node, PoseStamped, 'ee_pose')), 'state.pose',
            '2 nodes publish /ee_pose'),
    'silent': (World(without=('ee_pose',),
                     build=second(PoseStamped, 'ee_pose')), 'state.pose', 'nothing came'),
    'zero stamp': (World(stamps={'joint_states': float('nan')}), 'state.joints', 'stamped zero'),
    'future': (World(stamps={'ee_pose': 2.0}), 'state.pose', 'in the future'),
    'old': (World(stamps={'front_camera/image_raw': -0.8}), 'cameras.front', 'older than max_age'),
    'boot time': (World(stamps={'ee_pose': -1e6}), 'state.pose', "from this machine's clock"),
    'frozen stamp': (World(stamps={'ee_pose': float('inf')}), 'state.pose', 'the same stamp'),
    'two clocks': (World(stamps={'ee_pose': -1e6}, clock=1e6), 'use_sim_time',
                   'state.pose follow /clock'),
    'slow': (World(rates={'ee_pose': 2.0}), 'state.pose', 'before the next comes'),
    'skew': (World(stamps={'wrist_camera/image_raw': -0.2}, rates={
        'front_camera/image_raw': 2.5, 'wrist_camera/image_raw': 2.5}), 'cameras.front and wrist',
        'synchronise the cameras'),
    'encoding': (World(encoding='nv21'), 'cameras.front', "unknown image encoding 'nv21'"),
    'frame': (World(frame='world'), 'state.pose', "frame_id is 'world'"),
    'quaternion': (World(quaternion=0.0), 'state.pose', 'a quaternion has 1'),
    'joint': (World(joints=('joint1', 'finger_joint_1')), 'state.gripper.joint',
              "did you mean 'finger_joint_1'?"),
    'outside': (World(place=(500.0, 0.3)), 'limits.workspace.x', 'a frame, sign or unit wrong?'),
    'joints in parts': (World(build=lambda node: _arm_only(node)), 'state.gripper.joint',
                        'is not in every message'),
    'no controller': (World(without=('target_pose',)), 'command.topic',
                      'nobody listens to /target_pose'),
    'controller type': (World(without=('target_pose',), build=listener(
        TwistStamped, 'target_pose')), 'command.topic', 'as geometry_msgs/msg/TwistStamped'),
    'controller durability': (World(without=('target_pose',), build=listener(
        PoseStamped, 'target_pose', LATCHING)), 'command.topic', 'durability of /robot'),
    'controller deadline': (World(without=('target_pose',), build=listener(
        PoseStamped, 'target_pose', QoSProfile(depth=1, deadline=Duration(seconds=0.1)))),
        'command.topic', 'deadline of /robot'),
    'estop reliability': (World(without=('estop',), build=second(Bool, 'estop', BEST_EFFORT)),
                          'estop', 'reliability of /robot'),
    'instruction reliability': (World(build=second(String, 'instruction', BEST_EFFORT)),
                                'instruction', 'reliability of /robot'),
}


def _arm_only(node: Node) -> Any:
    publisher = node.create_publisher(JointState, 'joint_states', RELIABLE)
    return node.create_timer(0.02, lambda: publisher.publish(JointState(
        header=Header(stamp=stamp(time.time())), name=['joint1'], position=[0.0])))


def _another(node: Node, kind: type, topic: str) -> Any:
    other = Node('other', context=node.context)
    return other, other.create_publisher(kind, topic, RELIABLE)


@pytest.mark.parametrize('name', DEFECTS)
def test_a_defect_is_named(name: str) -> None:
    """Each defect is a fault at its key, with what was found or how to mend it."""
    world, key, expected = DEFECTS[name]
    wrong = faults(found(world))
    assert [one for one in wrong
            if one.name == key and expected in f'{one.said}; {one.fix}'], wrong


@pytest.mark.parametrize(('world', 'options', 'expected'), [
    (World(build=second(PoseStamped, 'target_pose')), {}, 'two masters'),
    (World(without=('estop',)), {}, 'connect an emergency stop'),
    (World(rates={'ee_pose': 9.0}), {}, 'fewer than control_rate'),
    (World(positions=0.08), {}, 'measure scale and offset'),
    (World(clock=1e6), {}, 'leave use_sim_time false'),
    # heard by a policy node that runs (policy_streams.py), as from `ros2 topic pub` and Foxglove
    (World(build=second(String, 'instruction')), {}, 'does not hear the last instruction'),
    (World(), {'cameras': {'front': CameraSpec(224, 224)}}, '64x64 is enlarged to 224x224'),
    (World(size=(64, 48)), {'cameras': {'front': CameraSpec(32, 32)}}, 'another aspect ratio'),
], ids=['masters', 'estop', 'rate', 'width', 'clock', 'volatile', 'small', 'aspect'])
def test_what_works_but_is_doubtful_is_a_remark(
        world: World, options: dict[str, Any], expected: str) -> None:
    """A second look is asked for, without a fault."""
    findings = found(world, **options)
    assert not faults(findings), faults(findings)
    assert [one for one in findings if one.level == 'remark'
            and expected in f'{one.said}; {one.fix}'], findings


def test_simulated_time_is_a_clock_like_another() -> None:
    """With all stamps on /clock nothing is wrong, and the parameter to set is named."""
    offsets = dict.fromkeys(('front_camera/image_raw', 'wrist_camera/image_raw', 'ee_pose',
                             'joint_states'), -1e6)
    findings = found(World(stamps=offsets, clock=1e6))
    assert not faults(findings), faults(findings)
    assert any('use_sim_time true' in one.said for one in findings)


def test_compressed_images_are_decoded() -> None:
    """A camera of transport compressed passes with a JPEG, and its size is that of the picture."""
    front = replace(CONTRACT.cameras['front'], topic='front/compressed', transport='compressed')
    picture = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].tobytes()

    def build(node: Node) -> Any:
        publisher = node.create_publisher(CompressedImage, 'front/compressed', RELIABLE)
        return node.create_timer(0.02, lambda: publisher.publish(CompressedImage(
            header=Header(stamp=stamp(time.time())), format='jpeg', data=picture)))

    findings = found(World(build=build), replace(
        CONTRACT, cameras={**CONTRACT.cameras, 'front': front}))
    assert not faults(findings), faults(findings)
    assert any('64x48' in one.said for one in findings if one.name == 'cameras.front')


def test_a_robot_in_joints_is_measured_by_its_joints() -> None:
    """Joints that are missing or outside of their limits are named; no pose is asked for."""
    joints = load_contract(find_contract('so101_joints'))
    contract = replace(joints, cameras=CONTRACT.cameras, joints=CONTRACT.joints)
    names = tuple(name for name in joints.action.joints if name != 'wrist_roll') + ('gripper',)
    wrong = {one.name: one for one in faults(found(World(joints=names, positions=1.7), contract))}
    assert "no joint 'wrist_roll'" in wrong['action.names joint.wrist_roll'].said
    assert 'elbow_flex is 1.700' in wrong['limits.joints.elbow_flex.position'].said
    assert 'limits.joints.shoulder_pan.position' not in wrong
    assert not any('pose' in name for name in wrong)


def test_services_are_looked_for_by_name_and_type() -> None:
    """A service that is there, of another type or absent, and an absent action are told apart."""
    assert CONTRACT.command.gripper is not None
    command = replace(
        CONTRACT.command, adapter='twist', servo=Servo(
            switch_command_type='servo/switch', pause='servo/pause'),
        gripper=replace(CONTRACT.command.gripper, type='gripper_command', topic='hand/grip'))
    contract = replace(CONTRACT, command=command)

    def build(node: Node) -> Any:
        return [node.create_service(SetBool, 'servo/pause', lambda request, response: response),
                node.create_service(Trigger, 'servo/switch', lambda request, response: response),
                node.create_client(Trigger, 'hand/grip/_action/send_goal'),
                listener(TwistStamped, 'target_pose')(node)]

    findings = {one.name: one for one in found(World(without=('target_pose',), build=build),
                                               contract) if one.group == 'command'}
    assert findings['command.servo.pause'].level == 'ok'
    assert 'is std_srvs/srv/Trigger, needed is moveit_msgs/srv/ServoCommandType' in findings[
        'command.servo.switch_command_type'].said
    assert 'no node has the action /hand/grip' in findings['command.gripper.topic'].said


def test_the_namespace_of_the_nodes_is_used() -> None:
    """The same contract in another namespace finds nothing there."""
    wrong = faults(found(World(), namespace='left'))
    assert any('/left/ee_pose' in one.said for one in wrong)


def test_what_the_nodes_ask_is_what_is_compared() -> None:
    """The copy of the nodes' quality of service agrees with nodes/qos.py."""
    for ours, theirs in ((INPUT, qos.IMAGE), (INPUT, qos.STATE), (COMMAND, qos.COMMAND),
                         (COMMAND, qos.ESTOP), (LATCHED, qos.LATCHED)):
        assert theirs.reliability.name.lower() == ours.reliability
        durability = theirs.durability.name.lower()
        assert durability.replace('system_default', 'volatile') == ours.durability
