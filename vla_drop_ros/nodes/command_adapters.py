# SPDX-License-Identifier: Apache-2.0
"""How a command leaves for the robot: one adapter a controller interface."""

from abc import ABC, abstractmethod
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.duration import Duration
from std_msgs.msg import Float64MultiArray

from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import gripper_message, pose_message, twist_message
from vla_drop_ros.nodes.qos import COMMAND
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.gate import Command

FLUSH_TIMEOUT = 0.5


class CommandAdapter(ABC):
    """Publishes commands on the topics of the contract; the publishers follow the lifecycle."""

    message_type: Any

    def __init__(self, node: ManagedNode, contract: RobotContract) -> None:
        """Create the publishers; the node owns them."""
        self._frame = contract.base_frame
        self._arm = node.own_lifecycle_publisher(
            self.message_type, contract.command.topic, COMMAND)
        self._gripper = None
        if contract.command.gripper_topic is not None:
            self._gripper = node.own_lifecycle_publisher(
                Float64MultiArray, contract.command.gripper_topic, COMMAND)

    def publish(self, command: Command, now: float) -> None:
        """Send a command stamped ``now`` [s]."""
        self._arm.publish(self.message(command, now))
        if self._gripper is not None and command.gripper is not None:
            self._gripper.publish(gripper_message(command.gripper))

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
        """Return the velocity that leads to the target."""
        return twist_message(now, self._frame, command.linear, command.angular)


ADAPTERS = {'pose': PoseAdapter, 'twist': TwistAdapter}


def create_adapter(node: ManagedNode, contract: RobotContract) -> CommandAdapter:
    """Return the adapter that the contract names."""
    adapter: CommandAdapter = ADAPTERS[contract.command.adapter](node, contract)
    return adapter
