# SPDX-License-Identifier: Apache-2.0
"""What the simulated arm obeys: one controller a kind of command, each behind its own topic."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.errors import SimulationError, unknown
from vla_drop_ros.nodes.qos import COMMAND
from vla_drop_ros.runtime.robot_inputs import pose_values, seconds
from vla_drop_ros.simulation.command_inlet import CommandInlet
from vla_drop_ros.simulation.environment import PickPlaceEnvironment
from vla_drop_ros.simulation.scene import ARM_JOINTS, MAX_WIDTH
from vla_drop_ros.simulation.trajectory_inlet import TrajectoryInlet
from vla_drop_ros.simulation.twist_inlet import TwistInlet

BASE_FRAME = 'base_link'


class Controller(ABC):
    """Hears arm and gripper commands and hands the newest valid ones to the physics."""

    message_type: Any
    topic: str

    def __init__(self, node: Node) -> None:
        """Subscribe to the arm's topic and to ``gripper_command``."""
        self._logger = node.get_logger()
        self._inlet = CommandInlet(BASE_FRAME)
        node.create_subscription(self.message_type, self.topic, self._on_arm, COMMAND)
        node.create_subscription(Float64MultiArray, 'gripper_command', self._on_width, COMMAND)

    @property
    def rejected(self) -> Counter[str]:
        """Return how many commands were rejected, by reason."""
        return self._inlet.rejected

    @abstractmethod
    def drive(self, environment: PickPlaceEnvironment, period: float) -> None:
        """Set what the arm does in the next ``period`` [s]."""

    def forget(self) -> None:
        """Hold from now on: the commands so far were meant for another scene."""
        self._inlet.forget()

    @property
    def _width(self) -> float:
        return MAX_WIDTH if self._inlet.width is None else self._inlet.width

    def _on_arm(self, message: Any) -> None:
        self._warn(self._offer(message))

    def _on_width(self, message: Float64MultiArray) -> None:
        self._warn(self._inlet.offer_width(message.data))

    def _warn(self, reason: str | None) -> None:
        if reason is not None:
            self._logger.warning(f'command rejected: {reason}', throttle_duration_sec=1.0)

    @abstractmethod
    def _offer(self, message: Any) -> str | None:
        """Take an arm command; return why it was rejected, or None."""


class PoseController(Controller):
    """Goes to the newest target pose."""

    message_type, topic = PoseStamped, 'target_pose'

    def drive(self, environment: PickPlaceEnvironment, period: float) -> None:
        """Set the target; before the first one the arm stays at its start."""
        position = self._inlet.position
        environment.set_target(
            environment.layout.start if position is None else position, self._width)

    def _offer(self, message: PoseStamped) -> str | None:
        return self._inlet.offer_pose(message.header.frame_id, *pose_values(message))


class TwistController(Controller):
    """Carries its target on by the newest twist, and halts where none comes."""

    message_type, topic = TwistStamped, 'twist_command'

    def __init__(self, node: Node) -> None:
        """Subscribe."""
        super().__init__(node)
        self._twists = TwistInlet(BASE_FRAME)

    @property
    def rejected(self) -> Counter[str]:
        """Return how many commands were rejected, by reason."""
        return super().rejected + self._twists.rejected

    def drive(self, environment: PickPlaceEnvironment, period: float) -> None:
        """Move the target."""
        environment.set_target(environment.target + self._twists.advance(period), self._width)

    def forget(self) -> None:
        """Stand still."""
        super().forget()
        self._twists.forget()

    def _offer(self, message: TwistStamped) -> str | None:
        move, turn = message.twist.linear, message.twist.angular
        return self._twists.offer(message.header.frame_id, (move.x, move.y, move.z),
                                  (turn.x, turn.y, turn.z))


class TrajectoryController(Controller):
    """Follows the newest joint trajectory from its reception on, whatever its stamp."""

    message_type, topic = JointTrajectory, 'joint_trajectory'

    def __init__(self, node: Node) -> None:
        """Subscribe."""
        super().__init__(node)
        self._trajectories = TrajectoryInlet(ARM_JOINTS)

    @property
    def rejected(self) -> Counter[str]:
        """Return how many commands were rejected, by reason."""
        return super().rejected + self._trajectories.rejected

    def drive(self, environment: PickPlaceEnvironment, period: float) -> None:
        """Move the set points of the joints."""
        environment.set_joints(
            self._trajectories.advance(period, environment.joint_targets), self._width)

    def forget(self) -> None:
        """Stand still."""
        super().forget()
        self._trajectories.forget()

    def _offer(self, message: JointTrajectory) -> str | None:
        return self._trajectories.offer(message.joint_names, [
            (seconds(point.time_from_start), point.positions) for point in message.points])


CONTROLLERS: Mapping[str, Callable[[Node], Controller]] = {
    'pose': PoseController, 'twist': TwistController, 'joint_trajectory': TrajectoryController}


def create_controller(node: Node, name: str) -> Controller:
    """Return the controller of a name: that of the robot contract's ``command.adapter``.

    Raises:
        SimulationError: there is none.

    """
    if name not in CONTROLLERS:
        raise SimulationError(unknown('controller', name, CONTROLLERS))
    return CONTROLLERS[name](node)
