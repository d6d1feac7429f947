# SPDX-License-Identifier: Apache-2.0
"""What the trial node hears of policy, gate and robot while a study runs."""

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float64, Header, String, UInt64
from trajectory_msgs.msg import JointTrajectory

from vla_drop_ros.nodes.messages import clock_seconds
from vla_drop_ros.nodes.policy_streams import BLIND, TRANSPORTS
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.robot_inputs import NANOSECONDS, pose_values, stamp_of
from vla_drop_ros.trials.study_session import StudySession
from vla_drop_ros.trials.vital_signs import GATE, POLICY

COMMANDS: dict[str, Any] = {
    'pose': PoseStamped, 'twist': TwistStamped, 'joint_trajectory': JointTrajectory}
# Best effort, so that the gate never waits for this node; deep, so that nothing is lost between
# two looks at 1 kHz.
MEASURED = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=500,
                      reliability=ReliabilityPolicy.BEST_EFFORT)


class Unattended(CallbackGroup):
    """Holds subscriptions that no executor waits for."""

    def can_execute(self, entity: Any) -> bool:
        """Return that it is not its turn, ever."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Return the same."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Have nothing to end."""


class FetchedTopic:
    """A topic whose messages are fetched all at once, and not by a callback each.

    A callback costs nearly a millisecond in a node with as many services as this one, and a robot
    may measure at 1 kHz.
    """

    def __init__(self, node: Node, kind: Any, topic: str, group: Unattended,
                 take: Callable[[Any, float], None]) -> None:
        """Subscribe.

        Args:
            node: of the trials.
            kind: message class.
            topic: name.
            group: that no executor attends to.
            take: takes a message and the time at which it arrived, node clock, [s].

        """
        self._node, self._kind, self._take = node, kind, take
        self._simulated = node.get_parameter('use_sim_time').value
        self._subscription = node.create_subscription(
            kind, topic, lambda message: None, MEASURED, callback_group=group)

    def fetch(self) -> None:
        """Take what has come since; at most as many as are kept."""
        now, handle = clock_seconds(self._node), self._subscription.handle
        with handle:
            for _ in range(MEASURED.depth):
                found = handle.take_message(self._kind, False)
                if found is None:
                    return
                message, info = found
                # With a simulated clock the moment at which the middleware had it says nothing.
                received = 0 if self._simulated else info['received_timestamp']
                self._take(message, received / NANOSECONDS or now)


def hear_machines(node: Node, session: StudySession) -> None:
    """Subscribe to what policy node and gate say of themselves."""
    def on_chunk(message: JointTrajectory) -> None:
        if message.points:  # an empty chunk says that the policy paused
            session.chunk(stamp_of(message))

    def on_altered(message: UInt64) -> None:
        session.signs.hear(GATE)  # it comes once a second, whatever happens
        session.measures.count_clipped(message.data)

    for kind, topic, callback, qos in (
            (String, f'{POLICY}/checkpoint', lambda message: session.policy(message.data),
             LATCHED),
            (String, f'{GATE}/state', lambda message: session.gate(message.data), LATCHED),
            (Float64, f'{GATE}/capture_to_command', lambda message: session.age(message.data),
             STATUS),
            (JointTrajectory, f'{POLICY}/action_chunk', on_chunk, COMMAND),
            (Header, f'{POLICY}/heartbeat', lambda message: session.signs.beat(
                message.frame_id == BLIND), COMMAND),
            (UInt64, f'{GATE}/commands_altered', on_altered, STATUS)):
        node.create_subscription(kind, topic, callback, qos)


def hear_robot(node: Node, session: StudySession, contract: RobotContract, camera: str,
               on_image: Callable[[Any], None]) -> list[FetchedTopic]:
    """Subscribe to a camera, to the measured pose and to the commands that the gate sends.

    Returns poses and commands, to be fetched some times a second.

    A robot without a measured pose has no motion in the log. Commands of a joint trajectory have
    no stamp: theirs is the time at which they arrive.

    Args:
        node: of the trials.
        session: that is told of poses and commands.
        contract: of the robot.
        camera: key of the camera that people see; '' is the first of the contract.
        on_image: takes its images.

    """
    def on_pose(message: PoseStamped, _: float) -> None:
        if message.header.frame_id == contract.base_frame:
            session.pose(stamp_of(message), pose_values(message)[0])

    stream = contract.cameras[camera or next(iter(contract.cameras))]
    node.create_subscription(TRANSPORTS[stream.transport], stream.topic, on_image, IMAGE)
    group = Unattended()
    found = [FetchedTopic(
        node, COMMANDS[contract.command.adapter], contract.command.topic, group,
        lambda message, arrived: session.commanded(stamp_of(message) or arrived))]
    if contract.pose is not None:
        found.append(FetchedTopic(node, PoseStamped, contract.pose.topic, group, on_pose))
    return found
