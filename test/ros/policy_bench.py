# SPDX-License-Identifier: Apache-2.0
"""A robot of topics and the policy node with policies of a few lines, for several test files."""

from collections.abc import Callable, Mapping
from pathlib import Path
import threading
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
import numpy as np
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, Header, String
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.nodes.images import image_message
from vla_drop_ros.nodes.messages import clock_seconds, header, pose_message
from vla_drop_ros.nodes.policy_node import PolicyNode
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.robot_inputs import seconds
from vla_drop_ros.types import ActionChunk, ActionSpec, CameraSpec, Observation

ROBOT = Path(__file__).parents[2] / 'config' / 'robots' / 'simulated_arm.yaml'
SPEC = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 1)
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')


class FakePolicy:
    """Moves by the mean colour of the front image; waits while ``gate`` is closed.

    ``mood``: '', 'raises' or 'nan'.
    """

    spec = SPEC
    cameras: Mapping[str, CameraSpec] = {'front': CameraSpec(4, 4), 'wrist': CameraSpec(4, 4)}
    state_names: tuple[str, ...] = STATE_NAMES

    def __init__(self, name: str) -> None:
        self.checkpoint, self.gate = name, threading.Event()
        self.observations: list[Observation] = []
        self.mood, self.closed = '', 0
        self.gate.set()

    def infer(self, observation: Observation) -> ActionChunk:
        self.observations.append(observation)
        assert self.gate.wait(30.0)
        if self.mood == 'raises':
            raise RuntimeError('out of memory')
        actions = np.full((4, 4), observation.images['front'].mean() / 255)
        if self.mood == 'nan':
            actions[2, 1] = np.nan
        return ActionChunk(observation.stamp, actions, SPEC, 0.01, self.checkpoint)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


class Operator:
    """Sets and gets the parameter ``checkpoint`` as ``ros2 param`` does."""

    def __init__(self, bench: 'Bench') -> None:
        self.bench = bench
        self.setter = bench.node.create_client(SetParameters, 'policy_node/set_parameters')
        self.getter = bench.node.create_client(GetParameters, 'policy_node/get_parameters')
        bench.until(lambda: self.setter.service_is_ready() and self.getter.service_is_ready())

    def call(self, client: Any, request: Any) -> Any:
        """Return the answer of a service."""
        future = client.call_async(request)
        self.bench.until(future.done)
        return future.result()

    def ask(self, path: object) -> Any:
        """Ask for a checkpoint; return whether it is accepted, and the reason."""
        value = Parameter('checkpoint', value=str(path)).to_parameter_msg().value
        assert isinstance(value, ParameterValue)
        request = SetParameters.Request(
            parameters=[ParameterMessage(name='checkpoint', value=value)])
        return self.call(self.setter, request).results[0]

    @property
    def checkpoint(self) -> str:
        """Return the value of the parameter."""
        request = GetParameters.Request(names=['checkpoint'])
        return str(self.call(self.getter, request).values[0].string_value)


class Bench:
    """A robot at 20 Hz and the node with fake checkpoints, on the system clock."""

    def __init__(self, start: bool = True, compressed: bool = False, **settings: Any) -> None:
        self.policies = {name: FakePolicy(name) for name in ('a', 'b')}
        self.loads = 0
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
                (Header, 'policy_node/heartbeat', COMMAND),
                (Float64, 'policy_node/latency', STATUS),
                (DiagnosticArray, '/diagnostics', STATUS)):
            self.node.create_subscription(
                kind, topic, self.seen.setdefault(topic, []).append, qos)
        kind = CompressedImage if compressed else Image
        self.images = {key: self.node.create_publisher(kind, f'{key}_camera/image_raw', IMAGE)
                       for key in ('front', 'wrist')}
        self.compressed = compressed
        self.cameras = ['front', 'wrist']
        self.pose = self.node.create_publisher(PoseStamped, 'ee_pose', STATE)
        self.joints = self.node.create_publisher(JointState, 'joint_states', STATE)
        self.instruction = self.node.create_publisher(String, 'instruction', LATCHED)
        self.beats = self.node.create_publisher(Header, 'trial_node/heartbeat', COMMAND)
        self.conducted = True  # a trial node lives; heard with the parameter study only
        self.node.create_timer(0.05, self.report)
        if start:
            assert self.policy.start()

    def load(self, path: str) -> FakePolicy:
        if path not in self.policies:
            raise CheckpointError('damaged')
        self.loads += 1
        return self.policies[path]

    def check(self, path: str, contract: RobotContract | None) -> None:
        if path == 'foreign':
            raise CheckpointError('does not fit the robot')

    def report(self) -> None:
        """Publish what the robot sees now."""
        now = self.node.get_clock().now().nanoseconds * 1e-9
        if self.conducted:
            self.beats.publish(header(now, ''))
        self.pose.publish(pose_message(now, 'base_link', np.array([0.5, 0.1, 0.3]),
                                       np.array([0.0, 0.0, 0.0, 1.0])))
        self.joints.publish(JointState(header=header(now, ''), name=['finger_joint1'],
                                       position=[0.02]))
        for key in self.cameras:
            image = np.full((4, 4, 3), 51, dtype=np.uint8)
            message = image_message(image, now, key)
            if self.compressed:
                coded = cv2.imencode('.jpg', image)[1].tobytes()
                message = CompressedImage(header=message.header, format='jpeg', data=coded)
            self.images[key].publish(message)

    @property
    def moves(self) -> list[JointTrajectory]:
        """Return the chunks that move, pauses left out."""
        return [chunk for chunk in self.chunks if chunk.points]

    @property
    def values(self) -> dict[str, str]:
        """Return the newest diagnostic values."""
        messages = self.seen['/diagnostics']
        return {pair.key: pair.value for pair in messages[-1].status[0].values} if messages else {}

    @property
    def silence(self) -> float:
        """Return how long ago the policy made progress, by its newest heartbeat, [s]."""
        beats = self.seen['policy_node/heartbeat']
        return clock_seconds(self.node) - seconds(beats[-1].stamp) if beats else 0.0

    @property
    def chunks(self) -> list[JointTrajectory]:
        """Return all chunks, pauses included."""
        return self.seen['policy_node/action_chunk']

    @property
    def diagnosis(self) -> str:
        """Return the newest diagnostic sentence."""
        messages = self.seen['/diagnostics']
        return str(messages[-1].status[0].message) if messages else ''

    def operator(self) -> Operator:
        """Return who sets the checkpoint."""
        return Operator(self)

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
