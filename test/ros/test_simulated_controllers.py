# SPDX-License-Identifier: Apache-2.0
"""The simulated arm obeys twists and joint trajectories as it obeys poses, real messages in."""

from collections.abc import Iterator
import time
from typing import Any

from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.errors import SimulationError
from vla_drop_ros.nodes.messages import joint_message, twist_message
from vla_drop_ros.nodes.qos import COMMAND
from vla_drop_ros.nodes.simulated_controllers import create_controller
from vla_drop_ros.simulation.arm import SERVO_PERIOD
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.simulation.scene import ARM_JOINTS
from vla_drop_ros.simulation.twist_inlet import HALTS

pytestmark = pytest.mark.ros


@pytest.fixture
def graph() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """Return a node that both sends and hears."""
    context = Context()
    context.init()
    node = Node('controllers', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def deliver(graph: tuple[Node, SingleThreadedExecutor], controller: Any, message: Any) -> None:
    """Send a message and return once the controller has it."""
    node, executor = graph
    publisher = node.create_publisher(type(message), controller.topic, COMMAND)
    heard: list[Any] = []
    node.create_subscription(type(message), controller.topic, heard.append, COMMAND)
    end = time.monotonic() + 10.0
    while publisher.get_subscription_count() < 2:
        assert time.monotonic() < end, 'nobody listens'
        executor.spin_once(timeout_sec=0.05)
    publisher.publish(message)
    while not heard:
        assert time.monotonic() < end, 'the message did not come'
        executor.spin_once(timeout_sec=0.05)
    executor.spin_once(timeout_sec=0.05)


def run(controller: Any, environment: PickPlaceEnvironment, duration: float) -> None:
    """Let physics run under a controller, [s]."""
    for _ in range(round(duration / SERVO_PERIOD)):
        controller.drive(environment, SERVO_PERIOD)
        environment.advance(SERVO_PERIOD)


def test_a_twist_moves_the_arm_until_it_halts(graph: tuple[Node, SingleThreadedExecutor]) -> None:
    """One message carries it for the time-out; without any it stands."""
    environment, controller = PickPlaceEnvironment(), create_controller(graph[0], 'twist')
    environment.restore(environment.layout)
    run(controller, environment, 0.5)
    start = environment.ee_position
    deliver(graph, controller, twist_message(
        1.0, 'base_link', np.array([0.0, 0.4, 0.1]), np.zeros(3)))
    run(controller, environment, 1.0)
    way = environment.ee_position - start
    np.testing.assert_allclose(way, np.array([0.0, 0.4, 0.1]) * HALTS, atol=3e-3)


def test_a_joint_trajectory_moves_the_joints(graph: tuple[Node, SingleThreadedExecutor]) -> None:
    """The arm goes where the point says, and stays; a reset puts it back under nobody's hand."""
    environment = PickPlaceEnvironment()
    environment.restore(environment.layout)
    controller = create_controller(graph[0], 'joint_trajectory')
    goal = environment.joint_targets + np.array([0.2, 0.0, 0.0, 0.1, 0.0, 0.0, -0.2])
    deliver(graph, controller, joint_message(ARM_JOINTS, goal, 0.5))
    run(controller, environment, 1.5)
    np.testing.assert_allclose(environment.joint_positions[:7], goal, atol=5e-3)
    environment.restore(environment.layout)
    controller.forget()
    home = environment.joint_positions[:7]
    run(controller, environment, 0.5)
    np.testing.assert_allclose(environment.joint_positions[:7], home, atol=5e-3)


def test_messages_of_another_kind_are_refused_by_name(
        graph: tuple[Node, SingleThreadedExecutor]) -> None:
    """A trajectory of other joints is counted, an unknown controller names the known ones."""
    controller = create_controller(graph[0], 'joint_trajectory')
    deliver(graph, controller, JointTrajectory(joint_names=['elbow']))
    assert controller.rejected.total() == 1
    with pytest.raises(SimulationError, match='joint_trajectory, pose, twist'):
        create_controller(graph[0], 'wrench')
    assert create_controller(graph[0], 'twist').message_type is TwistStamped
