# SPDX-License-Identifier: Apache-2.0
"""What the policy node subscribes to on a robot: the streams that its contract names."""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, Header, String

from vla_drop_ros.nodes.bridge import working_bridge
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.qos import COMMAND, IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.execution import Execution
from vla_drop_ros.runtime.robot_inputs import RobotInputs
from vla_drop_ros.runtime.robot_inputs import seconds as stamp_seconds
from vla_drop_ros.runtime.watchdog import stream_fault

Stream = tuple[type, str, Callable[..., None], QoSProfile]
BLIND = 'blind'  # frame of the policy's beat while a camera or a state of the robot is missing
NO_TRIAL = 'no trial'  # frame of the trial node's beat while none runs
TRIALS_SILENT = 1.0  # [s] after which nobody conducts the trial any more
INSTRUCTIONS_KEPT = 64  # [messages] whose second copy may still come
TRANSPORTS = {'raw': Image, 'compressed': CompressedImage}


def robot_inputs(contract: RobotContract) -> RobotInputs:
    """Return what takes the messages of the streams; cv_bridge decodes images where it works."""
    return RobotInputs(contract, working_bridge())


def robot_streams(contract: RobotContract, inputs: RobotInputs,
                  execution: Execution) -> list[Stream]:
    """Return message type, topic, callback and quality of service of each stream."""
    streams: list[Stream] = [
        (TRANSPORTS[stream.transport], stream.topic, partial(inputs.add_image, key), IMAGE)
        for key, stream in contract.cameras.items()]
    if contract.pose is not None:
        streams.append((PoseStamped, contract.pose.topic, inputs.add_pose, STATE))
    if contract.joints is not None:
        streams.append((JointState, contract.joints.topic, inputs.add_joints, STATE))
    if execution.mode == 'real_time_chunking':
        streams.append((Float64, 'command_gate/capture_to_command',
                        lambda message: execution.add_delay(message.data), STATUS))
    return streams


def watch_trials(node: ManagedNode, obeys: Callable[[], object], stop: Callable[[], None]
                 ) -> Callable[[float], str]:
    """Listen to the trial node; return what tells why its trial must not go on at a time [s].

    Its timeout, its stop button and its emergency stop are no more when it hangs. And a policy
    that stood still may have missed the end of its trial: the empty instruction is sent once.

    Args:
        node: of the policy.
        obeys: whether an instruction is in force.
        stop: ends it; called while no trial runs. A beat that waited behind the instruction of a
            start does not count.

    """
    newest: list[float] = []
    idle = 0

    def hear(message: Header) -> None:
        nonlocal idle
        newest[:] = [stamp_seconds(message.stamp)]
        idle = idle + 1 if message.frame_id == NO_TRIAL else 0
        if idle > 1 and obeys():
            stop()

    node.own(node.destroy_subscription,
             node.create_subscription(Header, 'trial_node/heartbeat', hear, COMMAND))
    return lambda now: stream_fault('sign of life of trial_node', newest[0] if newest else None,
                                    now, TRIALS_SILENT) or ''


class Once:
    """Passes each message on once, and never an older one after a newer one.

    The copies of a message have the same source timestamp. A copy that waited behind a busy
    executor while its other subscription was ahead shows by the time at which it was received,
    which is of this machine's clock, whatever clock the publisher has.
    """

    def __init__(self, callback: Callable[[Any], None]) -> None:
        """Pass on to ``callback``."""
        self._callback = callback
        self._heard: deque[int] = deque(maxlen=INSTRUCTIONS_KEPT)
        self._newest = 0

    def take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Take a message with rclpy's information about it."""
        source, received = info['source_timestamp'], info['received_timestamp']
        if source in self._heard or received < self._newest:
            return
        self._heard.append(source)
        self._newest = received
        self._callback(message)


def hear_instructions(node: ManagedNode, callback: Callable[[String], None]) -> None:
    """Subscribe to the instruction twice, and pass each on once.

    As a latched topic, so that a node that starts late hears the last one, and as a volatile one,
    which every publisher matches: `ros2 topic pub` and Foxglove publish volatile by default.
    """
    once = Once(callback)
    quiet = SubscriptionEventCallbacks(use_default_callbacks=False)  # the mismatch is wanted

    def hear(message: String, info: dict[str, Any]) -> None:
        once.take(message, info)

    for qos in (LATCHED, STATUS):
        node.own(node.destroy_subscription, node.create_subscription(
            String, 'instruction', hear, qos, event_callbacks=quiet))
