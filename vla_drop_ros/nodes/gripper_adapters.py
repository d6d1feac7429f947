# SPDX-License-Identifier: Apache-2.0
"""How a gripper width leaves for the robot: a topic or an action; nothing here ever waits."""

from abc import ABC, abstractmethod
from typing import Any

from builtin_interfaces.msg import Duration
from rclpy.action import ActionClient
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.messages import gripper_message
from vla_drop_ros.nodes.qos import COMMAND
from vla_drop_ros.robot_contract import GripperCommand, GripperState, RobotContract
from vla_drop_ros.runtime.gripper import GripperFilter

GRIPPER_TIME = Duration(sec=0, nanosec=500_000_000)
"""Time in which a trajectory controller is to reach the width."""


class GripperAdapter(ABC):
    """Sends widths in [m], or the position of the gripper joint that they mean."""

    def __init__(self, node: ManagedNode, state: GripperState, command: GripperCommand) -> None:
        """Create the interface; the node owns it."""
        self._node = node
        self._state = state
        self._command = command
        self._filter = GripperFilter(command.hysteresis)

    def position(self, width: float) -> float:
        """Return the joint position of a width [m]."""
        return self._state.position(width)

    def begin(self) -> None:
        """Send the next width whatever was sent before."""
        self._filter.reset()

    @abstractmethod
    def publish(self, width: float) -> None:
        """Send a width [m], or leave it at the one before."""


class WidthTopic(GripperAdapter):
    """Float64MultiArray, data[0] = width [m], at every tick: a lost message does no harm."""

    def __init__(self, node: ManagedNode, state: GripperState, command: GripperCommand) -> None:
        """Create the publisher."""
        super().__init__(node, state, command)
        self._publisher = node.own_lifecycle_publisher(Float64MultiArray, command.topic, COMMAND)

    def publish(self, width: float) -> None:
        """Send a width."""
        self._publisher.publish(gripper_message(width))


class TrajectoryTopic(GripperAdapter):
    """JointTrajectory of one point, for a joint trajectory controller of the gripper."""

    def __init__(self, node: ManagedNode, state: GripperState, command: GripperCommand) -> None:
        """Create the publisher."""
        super().__init__(node, state, command)
        self._publisher = node.own_lifecycle_publisher(JointTrajectory, command.topic, COMMAND)

    def publish(self, width: float) -> None:
        """Send a width that changed enough."""
        if self._filter.admit(width):
            # stamp zero: the controller starts at once, whatever clock it has
            self._publisher.publish(JointTrajectory(
                joint_names=[self._state.joint],
                points=[JointTrajectoryPoint(positions=[self.position(width)],
                                             time_from_start=GRIPPER_TIME)]))


class GripperAction(GripperAdapter):
    """An action of control_msgs: a goal for each width that changed enough, one at a time."""

    def __init__(self, node: ManagedNode, state: GripperState, command: GripperCommand) -> None:
        """Create the client; it needs control_msgs.

        Raises:
            MissingDependencyError: control_msgs is not installed, or lacks the action.

        """
        super().__init__(node, state, command)
        self._filter = GripperFilter(command.hysteresis, one_at_a_time=True)
        self._type = gripper_action(command.type)
        client = ActionClient(node, self._type, command.topic)
        self._client = node.own(lambda entity: entity.destroy(), client)

    def publish(self, width: float) -> None:
        """Send a goal unless one is on its way or the server is not there."""
        if not self._client.server_is_ready():
            self._filter.reset()  # a goal on its way to a server that died is never answered
            self._node.get_logger().warning(
                f'gripper action {self._command.topic!r} is not there (ros2 action list)',
                throttle_duration_sec=5.0)
        elif self._filter.admit(width):
            self._client.send_goal_async(self._goal(width)).add_done_callback(self._on_answer)

    def _goal(self, width: float) -> Any:
        goal = self._type.Goal()
        if self._command.type == 'gripper_command':
            goal.command.position = self.position(width)
            goal.command.max_effort = self._command.effort
            return goal
        goal.command = JointState(name=[self._state.joint], position=[self.position(width)])
        if self._command.effort > 0:
            goal.command.effort = [self._command.effort]
        return goal

    def _on_answer(self, future: Any) -> None:
        accepted = bool(future.exception() is None and future.result().accepted)
        self._filter.answered(accepted)
        if not accepted:
            self._node.get_logger().warning('the gripper refused a goal; trying again',
                                            throttle_duration_sec=5.0)


def gripper_action(kind: str) -> Any:
    """Return the action type of a gripper; it is imported only where a contract asks for it.

    Raises:
        MissingDependencyError: control_msgs is not installed, or lacks the action.

    """
    name = {'parallel_gripper_command': 'ParallelGripperCommand',
            'gripper_command': 'GripperCommand'}[kind]
    try:
        from control_msgs import action
        return getattr(action, name)
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f'command.gripper.type {kind!r} needs control_msgs/action/{name} ({error}); install '
            'ros-$ROS_DISTRO-control-msgs, or use float64_multi_array or joint_trajectory'
        ) from error


def create_gripper(node: ManagedNode, contract: RobotContract) -> GripperAdapter | None:
    """Return the adapter that the contract names; None without a gripper."""
    state, command = contract.gripper, contract.command.gripper
    if state is None or command is None:
        return None
    if command.type == 'float64_multi_array':
        return WidthTopic(node, state, command)
    if command.type == 'joint_trajectory':
        return TrajectoryTopic(node, state, command)
    return GripperAction(node, state, command)
