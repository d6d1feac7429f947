# SPDX-License-Identifier: Apache-2.0
"""What was done between two frames, in the language of the action spec.

From the commands on the wire, each of which holds until the next; or from the measured poses,
where a person led the arm by hand. A command stamped exactly at a frame belongs to what follows.
"""

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from vla_drop_ros.dataset.bag import Received
from vla_drop_ros.dataset.robot_topics import RobotTopics, StampClock
from vla_drop_ros.errors import DatasetError, ObservationError
from vla_drop_ros.robot_contract import GRIPPER_STATE_NAME, latency_of, RobotContract
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.observation_sync import Snapshot, state_vector
from vla_drop_ros.runtime.pose import interpolate, Pose
from vla_drop_ros.runtime.robot_inputs import joint_values, pose_values
from vla_drop_ros.types import FloatArray, GRIPPER_NAME, ROTATION_NAMES, TRANSLATION_NAMES

Value = TypeVar('Value')
COMMANDS, MEASURED = 'commands', 'measured'
ROUNDING = 1e-6  # [s], of stamps as float


class NoActionError(DatasetError):
    """What was done at a frame is not known; the message is why."""


class Track(Generic[Value]):
    """Values by stamp."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.stamps: list[float] = []
        self.values: list[Value] = []

    def add(self, stamp: float, value: Value) -> None:
        """Store a value; of equal stamps the later stored counts."""
        place = bisect_right(self.stamps, stamp)
        self.stamps.insert(place, stamp)
        self.values.insert(place, value)

    def before(self, stamp: float) -> int:
        """Return the index of the newest entry before ``stamp`` [s], -1 without one."""
        return bisect_left(self.stamps, stamp) - 1


class Motion(ABC):
    """Where the arm went, or was sent."""

    @abstractmethod
    def displacement(self, begin: float, end: float) -> FloatArray:
        """Return x y z [m] and rx ry rz [rad] from ``begin`` to ``end`` [s], shape (6,).

        Raises:
            NoActionError: not known for that time.

        """

    @abstractmethod
    def pose(self, end: float) -> Pose:
        """Return the pose that is to be reached at ``end`` [s].

        Raises:
            NoActionError: not known for that time.

        """


class HeldCommands(Motion, Generic[Value]):
    """Commands, each in force until the next, at most for the contract's ``dead_man`` time."""

    def __init__(self, contract: RobotContract) -> None:
        """Hold nothing yet."""
        self.commands: Track[Value] = Track()
        self._contract = contract

    def held(self, stamp: float) -> Value:
        """Return the command in force just before ``stamp`` [s]; raise where there is none."""
        index, topic = self.commands.before(stamp), self._contract.command.topic
        if index < 0:
            raise NoActionError(f'no command yet on {topic!r}')
        age = stamp - self.commands.stamps[index]
        if age > self._contract.dead_man:
            raise NoActionError(f'no command on {topic!r} for longer than dead_man ({age:.2f} s)')
        return self.commands.values[index]


class CommandedPoses(HeldCommands[Pose]):
    """Targets of a position controller."""

    def add(self, stamp: float, message: Any) -> None:
        """Store a PoseStamped."""
        position, quaternion = pose_values(message)
        pose = Pose(np.array(position), rotation.normalized(np.array(quaternion)))
        _check(message, pose.is_finite, self._contract)
        self.commands.add(stamp, pose)

    def displacement(self, begin: float, end: float) -> FloatArray:
        """Return the way from the target before to the target after."""
        return _between(self.held(begin), self.held(end))

    def pose(self, end: float) -> Pose:
        """Return the target."""
        return self.held(end)


class CommandedTwists(HeldCommands[FloatArray]):
    """Velocities for a velocity controller, summed up over time."""

    def add(self, stamp: float, message: Any) -> None:
        """Store a TwistStamped."""
        move, turn = message.twist.linear, message.twist.angular
        twist = np.array([move.x, move.y, move.z, turn.x, turn.y, turn.z], dtype=float)
        _check(message, bool(np.isfinite(twist).all()), self._contract)
        self.commands.add(stamp, twist)

    def displacement(self, begin: float, end: float) -> FloatArray:
        """Return the integral of the velocities, turns in the order in which they were made."""
        for stamp in (begin, end):
            self.held(stamp)
        stamps, dead_man = self.commands.stamps, self._contract.dead_man
        moved, turned = np.zeros(3), rotation.IDENTITY
        for index in range(self.commands.before(begin), self.commands.before(end) + 1):
            following = stamps[index + 1] if index + 1 < len(stamps) else end
            time = (min(following, end, stamps[index] + dead_man) - max(stamps[index], begin))
            twist = self.commands.values[index] * max(time, 0.0)
            moved = moved + twist[:3]
            turned = rotation.multiply(rotation.from_vector(twist[3:]), turned)
        return np.append(moved, rotation.to_vector(turned))

    def pose(self, end: float) -> Pose:
        """Refuse: a velocity says nothing about where the arm is to be."""
        raise DatasetError(
            "absolute actions need commanded poses, but the contract's command.adapter is "
            "'twist'; take the measured poses: --actions measured")


class MeasuredPoses(Motion):
    """Where the arm really was, for recordings that a person made by hand."""

    def __init__(self, contract: RobotContract) -> None:
        """Hold nothing yet."""
        self._poses: Track[Pose] = Track()
        self._contract = contract

    def add(self, stamp: float, message: Any) -> None:
        """Store a PoseStamped; what is not finite is left out, and latency taken off, as live."""
        position, quaternion = pose_values(message)
        pose = Pose(np.array(position), rotation.normalized(np.array(quaternion)))
        if pose.is_finite:
            self._poses.add(stamp - latency_of(self._contract.pose), pose)

    def displacement(self, begin: float, end: float) -> FloatArray:
        """Return the way that the arm went."""
        return _between(self.pose(begin), self.pose(end))

    def pose(self, end: float) -> Pose:
        """Return the measured pose, interpolated."""
        stamps, poses = self._poses.stamps, self._poses.values
        after = bisect_left(stamps, end)
        if after < len(stamps) and stamps[after] == end:
            return poses[after]
        if not 0 < after < len(stamps):
            raise NoActionError('no measured pose at that time')
        width = stamps[after] - stamps[after - 1]
        if width > self._contract.end_effector_pose.max_age:
            raise NoActionError(f'no measured pose for a while ({width:.2f} s)')
        return interpolate(poses[after - 1], poses[after], (end - stamps[after - 1]) / width)


class Actions:
    """Actions of frames.

    Attributes:
        names: what the numbers are, as in ``ActionSpec``.
        reference: ``delta`` or ``absolute``, as there.

    """

    def __init__(self, contract: RobotContract, names: Sequence[str],
                 reference: Literal['delta', 'absolute'], source: str) -> None:
        """Know nothing yet; ``source`` is ``commands`` or ``measured``."""
        self.names, self.reference = tuple(names), reference
        self._contract, self._measured = contract, source == MEASURED
        self._until = float('-inf')
        self._widths: Track[float] = Track()
        self._motion: CommandedPoses | CommandedTwists | MeasuredPoses = (
            MeasuredPoses(contract) if self._measured
            else CommandedPoses(contract) if contract.command.adapter == 'pose'
            else CommandedTwists(contract))

    def read(self, messages: Iterable[Received], topics: RobotTopics) -> None:
        """Take all that a recording says about motion.

        Raises:
            DatasetError: a command is not in the base frame, or not finite.

        """
        clock = StampClock()
        take: dict[str | None, Callable[[float, Any], None]] = {}
        if GRIPPER_NAME in self.names:
            take = ({topics.joints: self._add_measured_width} if self._measured
                    else {topics.gripper: self._add_width})
        take[topics.pose if self._measured else topics.command] = self._motion.add
        for topic, message in messages:
            if topic not in (topics.command, topics.gripper):
                clock.advance(message)
            stamp = clock.time_of(message)
            self._until = max(self._until, stamp)
            if topic in take:
                take[topic](stamp, message)

    def action(self, begin: float, end: float) -> FloatArray:
        """Return what was done from ``begin`` to ``end`` [s], shape (len(names),).

        Raises:
            NoActionError: not known.

        """
        if end > self._until + ROUNDING:
            raise NoActionError('the recording ends within the frame')
        if self.reference == 'delta':
            vector = self._motion.displacement(begin, end)
        else:
            pose = self._motion.pose(end)
            vector = np.append(pose.position, rotation.to_vector(pose.quaternion))
        values = dict(zip((*TRANSLATION_NAMES, *ROTATION_NAMES), vector, strict=True))
        if GRIPPER_NAME in self.names:
            values[GRIPPER_NAME] = self._width(end)
        return np.array([values[name] for name in self.names])

    def _add_width(self, stamp: float, message: Any) -> None:
        if len(message.data) != 1 or not np.isfinite(message.data[0]):
            raise DatasetError(
                f'gripper command on {self._contract.gripper_width_topic!r} is '
                f'{list(message.data)}, expected one finite number, the width [m]')
        self._widths.add(stamp, float(message.data[0]))

    def _add_measured_width(self, stamp: float, message: Any) -> None:
        joints = joint_values(message.name, message.position)
        nowhere = Pose(np.zeros(3), rotation.IDENTITY)
        now: Snapshot[Any] = Snapshot(stamp, {}, nowhere, joints)
        try:
            width = state_vector(now, (GRIPPER_STATE_NAME,), self._contract)
        except ObservationError:  # the message of another part of the robot
            return
        self._widths.add(stamp - latency_of(self._contract.joints), float(width[0]))

    def _width(self, end: float) -> float:
        """Return the opening in force just before ``end`` [s]: the last one that was said."""
        index = self._widths.before(end)
        if index < 0:
            what = 'measured gripper width' if self._measured else 'gripper command'
            raise NoActionError(f'no {what} yet')
        return self._widths.values[index]


def _between(start: Pose, end: Pose) -> FloatArray:
    return np.append(end.position - start.position,
                     rotation.between(start.quaternion, end.quaternion))


def _check(message: Any, is_finite: bool, contract: RobotContract) -> None:
    frame, topic = message.header.frame_id, contract.command.topic
    if frame != contract.base_frame:
        raise DatasetError(f'a command on {topic!r} is in frame {frame!r}, the contract commands '
                           f'in frames.base {contract.base_frame!r}')
    if not is_finite:
        raise DatasetError(f'a command on {topic!r} is not finite; leave that recording out')
