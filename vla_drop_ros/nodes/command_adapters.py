# SPDX-License-Identifier: Apache-2.0
"""How a command leaves for the robot: one adapter a controller interface."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.duration import Duration
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.nodes.gripper_adapters import create_gripper
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import joint_message, pose_message, twist_message
from vla_drop_ros.nodes.qos import COMMAND, STATUS
from vla_drop_ros.nodes.servo import ServoServices
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.gate import Command

FLUSH_TIMEOUT = 0.5


class CommandAdapter(ABC):
    """Publishes commands on the topics of the contract; the publishers follow the lifecycle."""

    message_type: Any

    def __init__(self, node: ManagedNode, contract: RobotContract) -> None:
        """Create the publishers; the node owns them."""
        self._frame = contract.base_frame
        self._command = contract.command
        self._joints = contract.action.joints
        self._arm = node.own_lifecycle_publisher(
            self.message_type, contract.command.topic, COMMAND)
        self._requested = node.own_lifecycle_publisher(
            self.message_type, '~/requested', STATUS)
        self._would = node.own_lifecycle_publisher(
            self.message_type, '~/would_command', STATUS)
        self._gripper = create_gripper(node, contract)
        self._servo = ServoServices(node, contract.command.servo)

    def publish(self, command: Command, now: float) -> None:
        """Send a command stamped ``now`` [s]."""
        self._arm.publish(self.message(command, now))
        if self._gripper is not None and command.gripper is not None:
            self._gripper.publish(command.gripper)

    def publish_requested(self, command: Command, now: float) -> None:
        """Tell, beside the command that the limits altered, what was asked for."""
        self._requested.publish(self.message(command, now))

    def publish_would(self, command: Command, now: float) -> None:
        """Show, in a dry run, what the arm would have been commanded, limits and all."""
        self._would.publish(self.message(command, now))

    def begin(self) -> None:
        """Tell the controller that commands will come."""
        if self._gripper is not None:
            self._gripper.begin()
        self._servo.begin()

    def end(self) -> None:
        """Tell the controller that the last command was sent."""
        self._servo.end()

    def flush(self) -> None:
        """Wait, shortly, until every receiver has the last command."""
        self._arm.wait_for_all_acked(Duration(seconds=FLUSH_TIMEOUT))

    @abstractmethod
    def message(self, command: Command, now: float) -> Any:
        """Return the arm message of a command."""


class PoseAdapter(CommandAdapter):
    """PoseStamped in the base frame, for Cartesian position and impedance controllers."""

    message_type = PoseStamped

    def message(self, command: Command, now: float) -> PoseStamped:
        """Return the target pose."""
        return pose_message(now, self._frame, command.pose.position, command.pose.quaternion)


class TwistAdapter(CommandAdapter):
    """TwistStamped in the base frame, for velocity controllers such as MoveIt Servo."""

    message_type = TwistStamped

    def message(self, command: Command, now: float) -> TwistStamped:
        """Return the velocity that leads to the target; unitless where Servo wants it so."""
        servo = self._command.servo
        return twist_message(now, self._frame, command.linear / (servo.linear_scale or 1.0),
                             command.angular / (servo.angular_scale or 1.0))


class JointTrajectoryAdapter(CommandAdapter):
    """JointTrajectory of one point, for a joint trajectory controller."""

    message_type = JointTrajectory

    def message(self, command: Command, now: float) -> JointTrajectory:
        """Return the positions, to be reached in the contract's lead time.

        The stamp is zero, "start at once": a controller drops a trajectory whose first point lies
        in the past of its own clock.
        """
        return joint_message(self._joints, command.pose.position, self._command.lead)


ADAPTERS: Mapping[str, Callable[[ManagedNode, RobotContract], CommandAdapter]] = {
    'pose': PoseAdapter, 'twist': TwistAdapter, 'joint_trajectory': JointTrajectoryAdapter}


def create_adapter(node: ManagedNode, contract: RobotContract) -> CommandAdapter:
    """Return the adapter that the contract names.

    Raises:
        MissingDependencyError: a message package of the contract's interfaces is not installed.

    """
    return ADAPTERS[contract.command.adapter](node, contract)
