# SPDX-License-Identifier: Apache-2.0
"""What the policy node subscribes to on a robot: the streams that its contract names."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64, String

from vla_drop_ros.nodes.bridge import working_bridge
from vla_drop_ros.nodes.managed_node import ManagedNode
from vla_drop_ros.nodes.qos import IMAGE, LATCHED, STATE, STATUS
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.execution import Execution
from vla_drop_ros.runtime.robot_inputs import RobotInputs

Stream = tuple[type, str, Callable[..., None], QoSProfile]
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


def hear_instructions(node: ManagedNode, callback: Callable[[String], None]) -> None:
    """Subscribe to the instruction twice, and pass each on once.

    As a latched topic, so that a node that starts late hears the last one, and as a volatile one,
    which every publisher matches: `ros2 topic pub` and Foxglove publish volatile by default. Both
    hear a latched publisher; the two copies of a message have the same source timestamp.
    """
    heard: deque[int] = deque(maxlen=INSTRUCTIONS_KEPT)

    def once(message: String, info: dict[str, Any]) -> None:
        if info['source_timestamp'] not in heard:
            heard.append(info['source_timestamp'])
            callback(message)

    quiet = SubscriptionEventCallbacks(use_default_callbacks=False)  # the mismatch is wanted
    for qos in (LATCHED, STATUS):
        node.own(node.destroy_subscription, node.create_subscription(
            String, 'instruction', once, qos, event_callbacks=quiet))
