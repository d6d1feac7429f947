# SPDX-License-Identifier: Apache-2.0
"""Commands arrive at a controller in its own message, units and names."""

from collections.abc import Callable, Iterator
from dataclasses import replace
import time
from typing import Any

from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.nodes.command_adapters import create_adapter
from vla_drop_ros.nodes.gripper_adapters import gripper_action
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.qos import COMMAND
from vla_drop_ros.robot_contract import Command as CommandTopics
from vla_drop_ros.robot_contract import GripperCommand, RobotAction, RobotContract, Servo
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.gate import Command
from vla_drop_ros.runtime.pose import Pose

pytestmark = pytest.mark.ros

CONTRACT = load_contract(find_contract('simulated_arm'))
MOVING = Command(Pose(np.array([0.5, 0.1]), rotation.IDENTITY), np.array([0.1, 0.0, -0.2]),
                 np.array([0.0, 0.0, 0.5]), 0.04)


class Controller:
    """A controller that listens on a topic, and a node that owns the adapter."""

    def __init__(self, contract: RobotContract, kind: type, topic: str) -> None:
        self.context = Context()
        self.context.init()
        self.node = Node('controller', context=self.context)
        self.owner = ManagedNode('owner', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        for node in (self.node, self.owner):
            self.executor.add_node(node)
        self.heard: list[Any] = []
        self.node.create_subscription(kind, topic, self.heard.append, COMMAND)
        self.adapter = create_adapter(self.owner, contract)
        self.owner.trigger_configure()
        self.owner.trigger_activate()
        self.until(lambda: self.node.count_publishers(topic))

    def until(self, condition: Callable[[], Any]) -> None:
        """Spin until something has happened."""
        end = time.monotonic() + 20.0
        while not condition():
            assert time.monotonic() < end, 'did not happen in time'
            self.executor.spin_once(timeout_sec=0.02)


@pytest.fixture(name='make')
def _make() -> Iterator[Callable[..., Controller]]:
    made: list[Controller] = []

    def make(*args: Any) -> Controller:
        made.append(Controller(*args))
        return made[-1]

    yield make
    for one in made:
        one.owner.close()
        one.owner.destroy_node()
        one.node.destroy_node()
        one.context.shutdown()


def heard(controller: Controller, command: Command) -> Any:
    """Publish until the controller has heard something, and return it."""
    def said() -> bool:
        controller.adapter.publish(command, 12.5)
        return bool(controller.heard)

    controller.until(said)
    return controller.heard[-1]


def test_joint_positions_arrive_by_name_with_the_lead_time(
        make: Callable[..., Controller]) -> None:
    """One point, the contract's joints, to be reached in its lead; the stamp says "at once"."""
    contract = replace(
        CONTRACT, action=RobotAction(('joint.a', 'joint.b'), 'base_link', 'absolute'),
        command=CommandTopics('joint_trajectory', 'arm/joint_trajectory', lead=0.25))
    message = heard(make(contract, JointTrajectory, 'arm/joint_trajectory'), MOVING)
    assert list(message.joint_names) == ['a', 'b']
    assert list(message.points[0].positions) == [0.5, 0.1]
    assert message.points[0].time_from_start.nanosec == 250_000_000
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)


@pytest.mark.parametrize(('servo', 'x', 'turn'), [
    (Servo(), 0.1, 0.5), (Servo(linear_scale=0.4, angular_scale=0.8), 0.25, 0.625)])
def test_twists_are_in_the_units_that_servo_wants(
        make: Callable[..., Controller], servo: Servo, x: float, turn: float) -> None:
    """SI without scales; divided by what a unitless 1 means with them; stamped at publishing."""
    contract = replace(CONTRACT, command=CommandTopics('twist', 'twist', servo=servo))
    message = heard(make(contract, TwistStamped, 'twist'), MOVING)
    assert message.twist.linear.x == pytest.approx(x)
    assert message.twist.angular.z == pytest.approx(turn)
    assert message.header.frame_id == 'base_link'
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (12, 500_000_000)


def test_servo_is_released_at_the_beginning_and_paused_at_the_end(
        make: Callable[..., Controller]) -> None:
    """The pause service of MoveIt Servo hears false on activation and true at the end."""
    contract = replace(CONTRACT, command=CommandTopics(
        'twist', 'twist', servo=Servo(pause='servo_node/pause_servo')))
    controller = make(contract, TwistStamped, 'twist')
    asked: list[bool] = []

    def pause(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        asked.append(request.data)
        response.success = True
        return response

    controller.node.create_service(SetBool, 'servo_node/pause_servo', pause)

    def begun() -> bool:
        controller.adapter.begin()
        return bool(asked)

    controller.until(begun)
    controller.adapter.end()
    controller.until(lambda: asked[-1])
    assert asked[0] is False


def test_a_gripper_trajectory_moves_the_gripper_joint(make: Callable[..., Controller]) -> None:
    """Width divided by the scale is the position of the gripper's joint, sent on change only."""
    contract = replace(CONTRACT, command=CommandTopics('pose', 'target_pose', GripperCommand(
        'joint_trajectory', 'gripper/joint_trajectory', hysteresis=0.001)))
    controller = make(contract, JointTrajectory, 'gripper/joint_trajectory')
    command = replace(MOVING, pose=Pose(np.zeros(3), rotation.IDENTITY))
    controller.until(lambda: controller.node.count_publishers('gripper/joint_trajectory')
                     and controller.owner.count_subscribers('gripper/joint_trajectory'))
    for width in (0.04, 0.04, 0.0401, 0.02):
        controller.adapter.publish(replace(command, gripper=width), 12.5)
        controller.until(lambda: True)
    controller.until(lambda: controller.heard
                     and controller.heard[-1].points[0].positions[0] == pytest.approx(0.01))
    assert list(controller.heard[-1].joint_names) == ['finger_joint1']
    assert len(controller.heard) <= 2


@pytest.mark.parametrize('kind', ['gripper_command', 'parallel_gripper_command'])
def test_an_absent_message_package_is_named_with_the_way_out(kind: str) -> None:
    """Where control_msgs is not installed the contract is refused, and the fix is in the text."""
    try:
        import control_msgs  # noqa: F401 - on a robot PC it is there, and nothing is to be refused
        assert gripper_action(kind).Goal()
    except ImportError:
        with pytest.raises(MissingDependencyError, match='control_msgs'):
            gripper_action(kind)


def test_absent_moveit_messages_are_named(make: Callable[..., Controller]) -> None:
    """A contract that wants Servo switched needs moveit_msgs, or says so."""
    contract = replace(CONTRACT, command=CommandTopics(
        'twist', 'twist', servo=Servo(switch_command_type='servo_node/switch_command_type')))
    try:
        import moveit_msgs  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match='moveit_msgs'):
            make(contract, TwistStamped, 'twist')
