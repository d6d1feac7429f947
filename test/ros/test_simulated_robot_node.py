# SPDX-License-Identifier: Apache-2.0
"""The simulated robot behaves on its topics as a real one would."""

from collections.abc import Callable, Iterator
import json
import math
import time
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray, String
from std_srvs.srv import Trigger

from vla_drop_ros.errors import SimulationError, TaskError
from vla_drop_ros.nodes.messages import pose_message
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE
from vla_drop_ros.resources import share_path
from vla_drop_ros.runtime.images import rgb_from
from vla_drop_ros.runtime.robot_inputs import pose_values, seconds
from vla_drop_ros.simulation.opengl import choose_backend

pytestmark = pytest.mark.ros

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope='module')
def simulated_robot_node() -> Any:
    """Return the node's module where something can render."""
    try:
        choose_backend()
    except SimulationError as error:
        pytest.skip(str(error))
    from vla_drop_ros.nodes import simulated_robot_node
    return simulated_robot_node


class Bench:
    """The node as fast as it can, and a listener beside it, in a context of their own."""

    def __init__(self, module: Any, **settings: Any) -> None:
        self.context = Context()
        self.context.init()
        self.robot = module.SimulatedRobotNode(self.context, [
            Parameter(name, value=value) for name, value in {'speed': 0.0, **settings}.items()])
        self.node = Node('bench', context=self.context)
        self.seen: dict[str, list[Any]] = {}
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.robot, self.node):
            self.executor.add_node(node)
        for kind, topic, qos in (
                (Image, 'front_camera/image_raw', IMAGE), (Image, 'wrist_camera/image_raw', IMAGE),
                (JointState, 'joint_states', STATE), (PoseStamped, 'ee_pose', STATE),
                (Clock, '/clock', IMAGE), (Bool, 'simulated_robot/success', LATCHED),
                (String, 'simulated_robot/scene', LATCHED)):
            self.node.create_subscription(
                kind, topic, self.seen.setdefault(topic, []).append, qos)
        self.target = self.node.create_publisher(PoseStamped, 'target_pose', COMMAND)
        self.width = self.node.create_publisher(Float64MultiArray, 'gripper_command', COMMAND)
        self.reset = self.node.create_client(Trigger, 'simulated_robot/reset')

    def until(self, condition: Callable[[], Any], limit: float = 20.0) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.1)

    def run(self, duration: float) -> None:
        """Spin for ``duration`` seconds of simulated time."""
        end = self.now() + duration
        self.until(lambda: self.now() >= end)

    def now(self) -> float:
        """Return the newest simulated time heard, [s]."""
        return seconds(self.seen['/clock'][-1].clock) if self.seen['/clock'] else 0.0

    def position(self) -> np.ndarray:
        """Return the newest measured position, [m]."""
        return np.array(pose_values(self.seen['ee_pose'][-1])[0])

    def command(self, position: Any, width: float, frame: str = 'base_link') -> None:
        """Publish a target."""
        self.target.publish(pose_message(self.now(), frame, np.array(position), DOWN))
        self.width.publish(Float64MultiArray(data=[width]))

    def call_reset(self, **settings: Any) -> Trigger.Response:
        """Set parameters, call ~/reset and return the answer."""
        self.robot.set_parameters([Parameter(name, value=value)
                                   for name, value in settings.items()])
        future = self.reset.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def close(self) -> None:
        """End everything."""
        self.executor.shutdown()
        self.robot.close()
        for node in (self.robot, self.node):
            node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def bench(simulated_robot_node: Any) -> Iterator[Bench]:
    """Return a running bench whose topics have been heard."""
    bench = Bench(simulated_robot_node)
    assert bench.robot.start()
    bench.until(lambda: all(bench.seen.values()) and bench.reset.service_is_ready()
                and bench.target.get_subscription_count()
                and bench.width.get_subscription_count())
    yield bench
    bench.close()


def test_holds_until_commanded_then_follows(bench: Bench) -> None:
    """Without a command the arm stands still; with one it goes there and the fingers close."""
    start = bench.position()
    bench.run(1.0)
    np.testing.assert_allclose(bench.position(), start, atol=5e-3)
    goal = start + [0.05, 0.05, 0.03]
    bench.command(goal, 0.02)
    bench.run(1.5)
    np.testing.assert_allclose(bench.position(), goal, atol=1e-2)
    joints = bench.seen['joint_states'][-1]
    fingers = dict(zip(joints.name, joints.position, strict=True))
    assert 2.0 * fingers['finger_joint1'] == pytest.approx(0.02, abs=5e-3)


@pytest.mark.parametrize(('position', 'width', 'frame'), [
    ((0.5, 0.1, 0.3), 0.04, 'world'), ((0.5, math.nan, 0.3), math.nan, 'base_link')])
def test_bad_commands_move_nothing_and_are_counted(
        bench: Bench, position: tuple[float, ...], width: float, frame: str) -> None:
    """A pose in another frame or with NaN is refused and shows in the diagnostics."""
    start = bench.position()
    bench.command(position, width, frame)
    bench.until(lambda: bench.robot._controller.rejected.total())
    bench.run(0.5)
    np.testing.assert_allclose(bench.position(), start, atol=5e-3)


def test_rates_stamps_and_clock(bench: Bench) -> None:
    """Images come at 10 Hz of simulated time, both cameras with one stamp, never ahead of it."""
    for messages in bench.seen.values():
        messages.clear()
    bench.run(1.0)
    front, wrist = (bench.seen[f'{name}_camera/image_raw'] for name in ('front', 'wrist'))
    stamps = [seconds(image.header.stamp) for image in front]
    np.testing.assert_allclose(np.diff(stamps), 0.1, atol=1e-6)
    assert stamps[-1] <= bench.now() + 1e-6
    assert {seconds(image.header.stamp) for image in wrist} <= {*stamps, stamps[-1] + 0.1}
    assert rgb_from(front[-1]).shape == (80, 80, 3)
    assert rgb_from(front[-1]).std() > 1.0
    clocks = [seconds(message.clock) for message in bench.seen['/clock']]
    assert (np.diff(clocks) > 0).all()


def test_reset_sets_up_the_scene_of_the_parameters(bench: Bench) -> None:
    """~/reset answers with the scene, time goes on, and the old target is not obeyed."""
    start = bench.position()
    bench.command(start + [0.1, 0.1, 0.0], 0.0)
    bench.run(1.0)
    before = bench.now()
    answer = bench.call_reset(seed=3, task='left_bin')
    assert answer.success
    scene = json.loads(answer.message)
    assert scene['seed'] == 3 and scene['task'] == 'left_bin' and scene['success'] is False
    assert 'left' in scene['instruction'] and len(scene['objects']) == 3
    stood = bench.position
    bench.run(0.1)
    home = stood()
    bench.command(start + [0.1, 0.1, 0.0], 0.0)
    bench.run(1.0)
    np.testing.assert_allclose(stood(), home, atol=5e-3)
    assert bench.now() > before
    bench.until(lambda: json.loads(bench.seen['simulated_robot/scene'][-1].data)['seed'] == 3)


@pytest.mark.parametrize('settings', [{'task': 'left_binn'}, {'variant': 'darkness'}])
def test_reset_refuses_unknown_scenes(bench: Bench, settings: dict[str, str]) -> None:
    """An unknown task or variant leaves the scene as it is and names the valid ones."""
    scene = bench.robot._environment.layout
    answer = bench.call_reset(**settings)
    assert not answer.success
    assert 'valid:' in answer.message
    assert bench.robot._environment.layout is scene


def test_unknown_task_at_start_is_refused(simulated_robot_node: Any) -> None:
    """The node does not start on a scene that does not exist."""
    bench = Bench(simulated_robot_node, task='fly')
    with pytest.raises(TaskError, match='left_bin'):
        bench.robot.start()
    bench.close()


def test_configuration_file_is_the_declared_defaults(simulated_robot_node: Any) -> None:
    """The YAML and the code say the same, parameter by parameter."""
    from dataclasses import asdict

    import yaml
    text = share_path('config', 'simulated_robot.yaml').read_text(encoding='utf-8')
    assert yaml.safe_load(text)['/**']['ros__parameters'] == asdict(
        simulated_robot_node.SimulationParameters())
