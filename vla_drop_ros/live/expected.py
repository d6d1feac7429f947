# SPDX-License-Identifier: Apache-2.0
"""The topics, services and actions that a contract names, with the types that they must have."""

from collections.abc import Iterator
from dataclasses import dataclass

from vla_drop_ros.live.evidence import Service
from vla_drop_ros.robot_contract import RobotContract, Stream

IMAGES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}
POSE, JOINTS = 'geometry_msgs/msg/PoseStamped', 'sensor_msgs/msg/JointState'
COMMANDS = {'pose': POSE, 'twist': 'geometry_msgs/msg/TwistStamped',
            'joint_trajectory': 'trajectory_msgs/msg/JointTrajectory'}
GRIPPER_TOPICS = {'float64_multi_array': 'std_msgs/msg/Float64MultiArray',
                  'joint_trajectory': 'trajectory_msgs/msg/JointTrajectory'}
GRIPPER_ACTIONS = {'parallel_gripper_command': 'control_msgs/action/ParallelGripperCommand',
                   'gripper_command': 'control_msgs/action/GripperCommand'}
SEND_GOAL = '/_action/send_goal'

# What the nodes ask and offer (nodes/qos.py; a test compares them).
INPUT = Service('best_effort')
COMMAND = Service('reliable')
LATCHED = Service('reliable', 'transient_local')


@dataclass(frozen=True, slots=True)
class Input:
    """A stream that the nodes read.

    Attributes:
        name: of the stream in the contract, such as cameras.front.
        stream: topic and ages.
        kind: message type.
        is_measured: whether the gate commands by it.

    """

    name: str
    stream: Stream
    kind: str
    is_measured: bool = False

    @property
    def group(self) -> str:
        """Return cameras or state."""
        return self.name.partition('.')[0]


@dataclass(frozen=True, slots=True)
class Output:
    """Something that the gate commands or calls: a topic or a service, by its key."""

    name: str
    topic: str
    kind: str


def inputs(contract: RobotContract) -> Iterator[Input]:
    """Yield the streams of a contract."""
    for key, camera in contract.cameras.items():
        yield Input(f'cameras.{key}', camera, IMAGES[camera.transport])
    for name, stream, kind in (('state.pose', contract.pose, POSE),
                               ('state.joints', contract.joints, JOINTS)):
        if stream is not None:
            yield Input(name, stream, kind, stream is contract.measured)


def command_topics(contract: RobotContract) -> Iterator[Output]:
    """Yield the topics that the gate publishes commands on."""
    command = contract.command
    yield Output('command.topic', command.topic, COMMANDS[command.adapter])
    if command.gripper is not None and command.gripper.type in GRIPPER_TOPICS:
        yield Output('command.gripper.topic', command.gripper.topic,
                     GRIPPER_TOPICS[command.gripper.type])


def services(contract: RobotContract) -> Iterator[Output]:
    """Yield the services that the gate calls; an action is known by its send_goal."""
    servo, gripper = contract.command.servo, contract.command.gripper
    if servo.switch_command_type:
        yield Output('command.servo.switch_command_type', servo.switch_command_type,
                     'moveit_msgs/srv/ServoCommandType')
    if servo.pause:
        yield Output('command.servo.pause', servo.pause, 'std_srvs/srv/SetBool')
    if gripper is not None and gripper.type in GRIPPER_ACTIONS:
        yield Output('command.gripper.topic', gripper.topic + SEND_GOAL,
                     f'{GRIPPER_ACTIONS[gripper.type]}_SendGoal')


def topic_names(contract: RobotContract) -> list[str]:
    """Return every topic to ask the graph about, as the contract names it."""
    return [*(one.stream.topic for one in inputs(contract)),
            *(one.topic for one in command_topics(contract)), 'instruction', 'estop']
