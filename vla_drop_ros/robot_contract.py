# SPDX-License-Identifier: Apache-2.0
"""The robot contract: everything that deployment needs to know about one robot.

``contract_file`` reads it from YAML.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from vla_drop_ros.errors import ActionSpecMismatchError, ContractError, unknown
from vla_drop_ros.types import ActionSpec, CameraSpec, JOINT_PREFIX

POSE_STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'ee.qx', 'ee.qy', 'ee.qz', 'ee.qw')
GRIPPER_STATE_NAME = 'gripper.width'
JOINT_STATE_PREFIX = JOINT_PREFIX

Adapter = Literal['pose', 'twist', 'joint_trajectory']
FaultAction = Literal['hold', 'stop']
Transport = Literal['raw', 'compressed']
GripperType = Literal['float64_multi_array', 'joint_trajectory', 'parallel_gripper_command',
                      'gripper_command']
Interlock = Literal['none', 'enable']
Range = tuple[float, float]

ADAPTERS: tuple[Adapter, ...] = ('pose', 'twist', 'joint_trajectory')
FAULT_ACTIONS: tuple[FaultAction, ...] = ('hold', 'stop')
TRANSPORTS: tuple[Transport, ...] = ('raw', 'compressed')
GRIPPER_TYPES: tuple[GripperType, ...] = (
    'float64_multi_array', 'joint_trajectory', 'parallel_gripper_command', 'gripper_command')
INTERLOCKS: tuple[Interlock, ...] = ('none', 'enable')


@dataclass(frozen=True, slots=True)
class Stream:
    """One input topic.

    Attributes:
        topic: relative topic name.
        max_age: oldest measurement still used: age of its stamp plus latency, [s].
        latency: how much older than its stamp the measurement really is, [s].

    """

    topic: str
    max_age: float
    latency: float = 0.0


def latency_of(stream: Stream | None) -> float:
    """Return how much older than its stamp a measurement of the stream really is, [s]."""
    return 0.0 if stream is None else stream.latency


@dataclass(frozen=True, slots=True)
class CameraStream(Stream):
    """One camera topic.

    Attributes:
        transport: ``raw`` is sensor_msgs/Image, ``compressed`` sensor_msgs/CompressedImage.

    """

    transport: Transport = 'raw'


@dataclass(frozen=True, slots=True)
class GripperState:
    """Opening width [m] = ``offset`` + position of ``joint`` * ``scale``.

    Attributes:
        joint: in the JointState.
        scale: [m/rad], or [1] for a sliding joint; negative where the joint closes with growing
            position.
        offset: width at position 0, [m].

    """

    joint: str
    scale: float
    offset: float = 0.0

    def width(self, position: float) -> float:
        """Return the opening width [m] of a joint position."""
        return self.offset + position * self.scale

    def position(self, width: float) -> float:
        """Return the joint position of an opening width [m]."""
        return (width - self.offset) / self.scale


@dataclass(frozen=True, slots=True)
class RobotAction:
    """What the robot can execute; the names and units of ``ActionSpec``."""

    names: tuple[str, ...]
    frame: str
    reference: Literal['delta', 'absolute']

    @property
    def joints(self) -> tuple[str, ...]:
        """Return the joints that are commanded; empty on a robot commanded in poses."""
        return tuple(name.removeprefix(JOINT_PREFIX) for name in self.names
                     if name.startswith(JOINT_PREFIX))


@dataclass(frozen=True, slots=True)
class GripperCommand:
    """Where the gripper command goes.

    Attributes:
        type: ``float64_multi_array``: data[0] = width [m]; ``joint_trajectory``: position of
            state.gripper.joint; the others: an action of control_msgs, position of that joint.
        topic: topic, or name of the action.
        hysteresis: smallest change of width that is sent, [m].
        effort: largest force of an action goal, [N]; 0 leaves it to the driver.

    """

    type: GripperType
    topic: str
    hysteresis: float = 0.0
    effort: float = 0.0


@dataclass(frozen=True, slots=True)
class Servo:
    """What MoveIt Servo needs beside the twist.

    Attributes:
        linear_scale: speed that a unitless 1.0 means, [m/s]; 0: Servo takes SI units.
        angular_scale: the same for turning, [rad/s].
        switch_command_type: service moveit_msgs/ServoCommandType, called on activation.
        pause: service std_srvs/SetBool, released on activation, set on deactivation.

    """

    linear_scale: float = 0.0
    angular_scale: float = 0.0
    switch_command_type: str = ''
    pause: str = ''


@dataclass(frozen=True, slots=True)
class Command:
    """Where commands go.

    Attributes:
        adapter: ``pose`` sends PoseStamped, ``twist`` TwistStamped, both in the base frame;
            ``joint_trajectory`` JointTrajectory of one point.
        topic: relative topic of the arm command.
        gripper: None without a gripper.
        lead: time until the point of a joint trajectory is to be reached, [s].
        servo: for the adapter ``twist``.

    """

    adapter: Adapter
    topic: str
    gripper: GripperCommand | None = None
    lead: float = 0.0
    servo: Servo = field(default_factory=Servo)


@dataclass(frozen=True, slots=True)
class CartesianLimits:
    """What no command of a pose may exceed.

    Attributes:
        workspace: (low, high) for x, y, z of the end effector in the base frame, [m].
        linear_velocity: largest speed of the commanded target, [m/s].
        angular_velocity: largest rotation rate of the commanded target, [rad/s].
        linear_acceleration: largest rate at which the velocity may grow or turn, [m/s^2]; braking
            is never slowed down.
        angular_acceleration: the same for turning, [rad/s^2].
        step: largest jump between two commands, and largest lead over the measured pose, [m].

    """

    workspace: tuple[Range, Range, Range]
    linear_velocity: float
    angular_velocity: float
    linear_acceleration: float
    angular_acceleration: float
    step: float


@dataclass(frozen=True, slots=True)
class JointLimits:
    """What no command of one joint may exceed; [rad], or [m] for a sliding joint.

    Attributes:
        position: (low, high).
        velocity: largest speed of the commanded position, [rad/s].
        acceleration: largest rate at which the speed may grow, [rad/s^2]; braking is free.
        step: largest jump between two commands, and largest lead over the measured position.

    """

    position: Range
    velocity: float
    acceleration: float
    step: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What no command may exceed.

    Attributes:
        cartesian: None on a robot that is commanded in joints.
        joints: joint name -> limits; empty on a robot that is commanded in poses.
        gripper_width: (low, high), [m]; None without a gripper.

    """

    cartesian: CartesianLimits | None
    joints: Mapping[str, JointLimits]
    gripper_width: Range | None


@dataclass(frozen=True, slots=True)
class RobotContract:
    """Everything that deployment needs to know about one robot.

    Attributes:
        robot: name of the robot.
        control_rate: rate at which the gate commands, [Hz].
        base_frame: frame of poses, commands and limits.
        end_effector_frame: frame whose pose is measured and commanded.
        action: what the robot can execute.
        cameras: camera key -> stream.
        max_skew: largest stamp difference between the cameras of one observation, [s].
        pose: PoseStamped of the end effector in the base frame; None on a robot that is commanded
            in joints and does not publish it.
        joints: JointState; None when nothing needs joints.
        gripper: how to read the gripper width; None without a gripper.
        command: where commands go.
        limits: what no command may exceed.
        ramp_in: time over which the speed limit rises when motion starts, [s].
        dead_man: seconds without a usable chunk, or without a sign of life of the policy, until
            the fault action.
        max_chunk_age: seconds from capture after which nothing more of a chunk is executed and
            the fault action runs; 0: a chunk is executed to its end.
        fault_action: ``hold`` the measured pose (adapters pose and joint_trajectory) or ``stop``
            with zero twist (adapter twist).
        interlock: ``enable``: nothing is commanded until the service ``~/enable`` is called, anew
            after every activation; ``none`` for simulators.
        dry_run: compute and report, command nothing.

    """

    robot: str
    control_rate: float
    base_frame: str
    end_effector_frame: str
    action: RobotAction
    cameras: Mapping[str, CameraStream]
    max_skew: float
    pose: Stream | None
    joints: Stream | None
    gripper: GripperState | None
    command: Command
    limits: Limits
    ramp_in: float
    dead_man: float
    max_chunk_age: float
    fault_action: FaultAction
    interlock: Interlock
    dry_run: bool

    @property
    def gripper_width_topic(self) -> str | None:
        """Return the topic of Float64MultiArray with the commanded width [m], if there is one."""
        gripper = self.command.gripper
        return gripper.topic if gripper and gripper.type == 'float64_multi_array' else None

    @property
    def measured(self) -> Stream:
        """Return the stream that says where the robot is: joints, or the end-effector pose."""
        if self.action.joints and self.joints is not None:
            return self.joints
        return self.end_effector_pose

    @property
    def end_effector_pose(self) -> Stream:
        """Return the stream of the end-effector pose.

        Raises:
            ContractError: this robot publishes none.

        """
        if self.pose is None:
            raise ContractError(f'{self.robot}: this needs the end-effector pose; add state.pose '
                                'to the robot contract')
        return self.pose

    def check_policy(self, spec: ActionSpec, cameras: Mapping[str, CameraSpec],
                     state_names: Iterable[str]) -> None:
        """Refuse a policy that this robot cannot execute or feed, naming the field.

        Raises:
            ActionSpecMismatchError: the action language differs.
            ContractError: a camera or a state value is not on this robot.

        """
        self._check_action(spec)
        for key in cameras:
            if key not in self.cameras:
                raise ContractError(
                    f'{self.robot}: {unknown("camera", key, self.cameras)} Add it under cameras '
                    'in the robot contract, or choose a checkpoint trained without it.')
        for name in state_names:
            self._check_state_name(name)

    def _check_action(self, spec: ActionSpec) -> None:
        extra = [name for name in spec.names if name not in self.action.names]
        problem = ''
        if extra:
            problem = (f'action.names: the checkpoint commands {extra}, the robot executes '
                       f'{list(self.action.names)}')
        elif spec.frame != self.action.frame:
            problem = (f'action.frame: the checkpoint acts in {spec.frame!r}, the robot in '
                       f'{self.action.frame!r}')
        elif spec.reference != self.action.reference:
            problem = (f'action.reference: the checkpoint sends {spec.reference!r} actions, the '
                       f'robot takes {self.action.reference!r}')
        elif spec.period < 1.0 / self.control_rate - 1e-9:
            problem = (f'action period {spec.period} s is shorter than the control period '
                       f'{1.0 / self.control_rate:.4g} s; raise control_rate to at least '
                       f'{1.0 / spec.period:.4g} Hz')
        if problem:
            raise ActionSpecMismatchError(
                f'{self.robot}: {problem}. Use a checkpoint made for this robot.')

    def _check_state_name(self, name: str) -> None:
        is_joint = name.startswith(JOINT_STATE_PREFIX)
        if name not in (*POSE_STATE_NAMES, GRIPPER_STATE_NAME) and not is_joint:
            valid = (*POSE_STATE_NAMES, GRIPPER_STATE_NAME, JOINT_STATE_PREFIX + '<joint>')
            raise ContractError(f'{self.robot}: {unknown("state value", name, valid)}')
        if is_joint and self.joints is None:
            raise ContractError(
                f'{self.robot}: the checkpoint reads {name!r}; add state.joints to the contract')
        if name in POSE_STATE_NAMES and self.pose is None:
            raise ContractError(
                f'{self.robot}: the checkpoint reads {name!r}; add state.pose to the contract')
        if name == GRIPPER_STATE_NAME and self.gripper is None:
            raise ContractError(
                f'{self.robot}: the checkpoint reads {name!r}; add state.gripper to the contract')

