# SPDX-License-Identifier: Apache-2.0
"""Where the streams of a robot contract lie in a recording, and what time it was."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vla_drop_ros.dataset.bag import (
    Bag,
    COMPRESSED_IMAGE,
    IMAGE,
    JOINT_STATE,
    NUMBERS,
    POSE,
    STRING,
    TWIST,
    Wanted,
)
from vla_drop_ros.robot_contract import RobotContract
from vla_drop_ros.runtime.robot_inputs import stamp_of

COMPRESSED = '/compressed'  # what image_transport puts behind the topic of the raw images
INSTRUCTION = 'instruction'
COMMAND_TYPES = {'pose': POSE, 'twist': TWIST}
SAY_TASK = 'or say with --task what the robot was asked to do'
SAY_MEASURED = 'or take the actions from the measured poses: --actions measured'


@dataclass(frozen=True, slots=True)
class RobotTopics:
    """Absolute topic names.

    Attributes:
        cameras: topic -> camera key.
        pose: measured end-effector pose.
        joints: joint states; None when nothing reads them.
        instruction: what the robot is asked to do; None when the user has said it.
        command: the arm's commands; None when actions are measured.
        gripper: the gripper's commands; None when actions are measured, or without a gripper.

    """

    cameras: Mapping[str, str]
    pose: str
    joints: str | None
    instruction: str | None
    command: str | None
    gripper: str | None

    @property
    def inputs(self) -> set[str]:
        """Topics that observations are made of."""
        return {*self.cameras, *filter(None, (self.pose, self.joints, self.instruction))}

    @property
    def motion(self) -> set[str]:
        """Topics that actions are made of, and those that tell the time."""
        return {*filter(None, (self.pose, self.joints, self.command, self.gripper))}


def find_topics(bag: Bag, contract: RobotContract, cameras: Collection[str], *, namespace: str,
                joints: bool, instruction: bool, command: bool, gripper: bool) -> RobotTopics:
    """Return where an open bag has the streams of a robot.

    Args:
        bag: the recording.
        contract: names the topics.
        cameras: camera keys that are needed.
        namespace: of the robot's nodes, '' for none.
        joints: whether joint states are needed.
        instruction: whether the topic of the instruction is.
        command: whether the commands to the arm are.
        gripper: whether those to the gripper are.

    Raises:
        DatasetError: a stream that is needed is not there, or of another type.

    """
    where = {topic: absolute(topic, namespace) for topic in (
        *(contract.cameras[key].topic for key in cameras), contract.end_effector_pose.topic,
        INSTRUCTION, contract.command.topic)}
    for key in cameras:
        topic = contract.cameras[key].topic
        if where[topic] not in bag.topics and where[topic] + COMPRESSED in bag.topics:
            where[topic] += COMPRESSED
    found = RobotTopics(
        cameras={where[contract.cameras[key].topic]: key for key in cameras},
        pose=where[contract.end_effector_pose.topic],
        joints=(absolute(contract.joints.topic, namespace)
                if joints and contract.joints is not None else None),
        instruction=where[INSTRUCTION] if instruction else None,
        command=where[contract.command.topic] if command else None,
        gripper=(absolute(contract.gripper_width_topic, namespace)
                 if gripper and contract.gripper_width_topic is not None else None))
    bag.require(_wanted(found, contract))
    return found


def _wanted(found: RobotTopics, contract: RobotContract) -> dict[str, Wanted]:
    wanted = {topic: Wanted((IMAGE, COMPRESSED_IMAGE)) for topic in found.cameras}
    wanted[found.pose] = Wanted((POSE,))
    for topic, kind, otherwise in (
            (found.joints, JOINT_STATE, ''), (found.instruction, STRING, SAY_TASK),
            (found.command, COMMAND_TYPES[contract.command.adapter], SAY_MEASURED),
            (found.gripper, NUMBERS, SAY_MEASURED)):
        if topic is not None:
            wanted[topic] = Wanted((kind,), otherwise)
    return wanted


def absolute(topic: str, namespace: str) -> str:
    """Return the whole name of a topic; one that begins with / stays as it is."""
    parts = [part for part in (namespace.strip('/'), topic) if part]
    return topic if topic.startswith('/') else '/' + '/'.join(parts)


class StampClock:
    """The robot's time as a recording shows it: the newest header stamp of an input so far.

    The recorder's own times may come from another clock than the stamps, for instance with
    simulated time. What has no stamp happened when it was received.
    """

    def __init__(self) -> None:
        """Begin before everything."""
        self.now = float('-inf')

    def advance(self, message: Any) -> None:
        """Take the time of an input message, if it has one."""
        if hasattr(message, 'header'):
            self.now = max(self.now, stamp_of(message))

    def time_of(self, message: Any) -> float:
        """Return when a message was made, [s]; a stamp of zero is none."""
        return (hasattr(message, 'header') and stamp_of(message)) or self.now
