# SPDX-License-Identifier: Apache-2.0
"""MoveIt Servo beside the twist: told to listen to twists, released, and paused at the end."""

from typing import Any

from rclpy.clock import Clock, ClockType
from std_srvs.srv import SetBool

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.robot_contract import Servo

TWIST = 1
"""moveit_msgs/srv/ServoCommandType: TWIST."""


RETRY = 0.5
"""Time after which a service that was not there is looked for again, [s]."""


class ServoServices:
    """Calls that never wait: their answers are logged, and a service that is absent is named.

    What Servo is told at the beginning is told as soon as it is there: a service that runs is
    found a moment after its client was made, and Servo may start later than the gate.
    """

    def __init__(self, node: ManagedNode, servo: Servo) -> None:
        """Create the clients that the contract names.

        Raises:
            MissingDependencyError: switch_command_type is named and moveit_msgs is not there.

        """
        self._node = node
        self._switch, self._pause = None, None
        self._waiting: list[tuple[Any, Any, str]] = []
        if servo.switch_command_type:
            self._type = _command_type()
            self._switch = node.own(node.destroy_client, node.create_client(
                self._type, servo.switch_command_type))
        if servo.pause:
            self._pause = node.own(node.destroy_client, node.create_client(SetBool, servo.pause))
        if self._switch is not None or self._pause is not None:
            node.own(node.destroy_timer, node.create_timer(
                RETRY, self._call_waiting, clock=Clock(clock_type=ClockType.STEADY_TIME)))

    def begin(self) -> None:
        """Ask Servo for twists, and release it."""
        self._waiting = []
        if self._switch is not None:
            self._waiting.append((
                self._switch, self._type.Request(command_type=TWIST), 'command type twist'))
        if self._pause is not None:
            self._waiting.append((self._pause, SetBool.Request(data=False), 'not paused'))
        self._call_waiting()

    def end(self) -> None:
        """Pause Servo, whatever it has not been told yet."""
        self._waiting = []
        if self._pause is not None:
            self._call(self._pause, SetBool.Request(data=True), 'paused')

    def _call_waiting(self) -> None:
        self._waiting = [one for one in self._waiting if not self._call(*one)]

    def _call(self, client: Any, request: Any, what: str) -> bool:
        """Send a request; return False where the service is not there."""
        logger = self._node.get_logger()
        if not client.service_is_ready():
            logger.warning(f'MoveIt Servo: {client.srv_name} is not there, so not yet: {what}',
                           throttle_duration_sec=5.0)
            return False

        def answered(future: Any) -> None:
            result = future.result() if future.exception() is None else None
            if result is None or not result.success:
                logger.error(f'MoveIt Servo refused: {what} ({client.srv_name})')
            else:
                logger.info(f'MoveIt Servo: {what}')

        client.call_async(request).add_done_callback(answered)
        return True


def _command_type() -> Any:
    try:
        from moveit_msgs.srv import ServoCommandType
        return ServoCommandType
    except ImportError as error:
        raise MissingDependencyError(
            f'command.servo.switch_command_type needs moveit_msgs ({error}); install '
            'ros-$ROS_DISTRO-moveit-msgs, or leave the key out and switch Servo yourself'
        ) from error
