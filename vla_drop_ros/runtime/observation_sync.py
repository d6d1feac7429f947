# SPDX-License-Identifier: Apache-2.0
"""One observation from streams that arrive on their own: joined by header stamp, never by luck.

What cannot be joined is named with the fix; there is no observation with a black or old image.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vla_drop_ros.errors import ObservationError, unknown
from vla_drop_ros.robot_contract import (
    GRIPPER_STATE_NAME,
    JOINT_STATE_PREFIX,
    POSE_STATE_NAMES,
    RobotContract,
    Stream,
)
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.pose import Pose, PoseHistory
from vla_drop_ros.runtime.watchdog import stream_fault
from vla_drop_ros.types import FloatArray

FRAMES_KEPT = 8
JOINTS_KEPT = 256
POSE_HISTORY = 5.0

Payload = TypeVar('Payload')


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[Payload]):
    """What belongs to one instant.

    Attributes:
        stamp: capture time of the oldest image, latency offsets taken off, [s].
        images: camera key -> what was stored for it.
        pose: end-effector pose at the stamp.
        joints: joint name -> position [rad or m] nearest to the stamp; empty without joints.

    """

    stamp: float
    images: Mapping[str, Payload]
    pose: Pose
    joints: Mapping[str, float]


def reads_joints(state_names: Iterable[str]) -> bool:
    """Say whether any of the state values comes from the joints."""
    return any(name.startswith(JOINT_STATE_PREFIX) or name == GRIPPER_STATE_NAME
               for name in state_names)


class ObservationSync(Generic[Payload]):
    """Keeps the last few messages of every stream of a contract, and joins them on request."""

    def __init__(self, contract: RobotContract) -> None:
        """Keep nothing yet."""
        self._contract = contract
        self._frames: dict[str, deque[tuple[float, Payload]]] = {
            key: deque(maxlen=FRAMES_KEPT) for key in contract.cameras}
        self._poses = PoseHistory(POSE_HISTORY)
        self._joints: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=JOINTS_KEPT)
        self._pose_refused = ''

    def add_image(self, key: str, stamp: float, payload: Payload) -> None:
        """Store an image stamped ``stamp`` [s]; the payload is not looked at."""
        self._frames[key].append((stamp - self._contract.cameras[key].latency, payload))

    def add_pose(self, stamp: float, position: Sequence[float], quaternion: Sequence[float],
                 frame: str) -> None:
        """Store an end-effector pose; ``join`` names one in a foreign frame or not finite."""
        base = self._contract.base_frame
        if frame != base:
            self._pose_refused = f'end-effector pose is in frame {frame!r}, needed is {base!r}'
            return
        pose = Pose(np.array(position, dtype=float),
                    rotation.normalized(np.array(quaternion, dtype=float)))
        self._pose_refused = '' if pose.is_finite else 'end-effector pose is not finite'
        self._poses.add(stamp, pose)

    def add_joints(self, stamp: float, positions: Mapping[str, float]) -> None:
        """Store joint name -> position [rad or m]."""
        self._joints.append((stamp, positions))

    def join(self, now: float, cameras: Iterable[str],
             with_joints: bool) -> tuple[Snapshot[Payload] | None, tuple[str, ...]]:
        """Return a snapshot of the wanted streams, or None and every reason why there is none."""
        keys = tuple(cameras)
        problems = self._stream_problems(now, keys, with_joints)
        if problems:
            return None, tuple(problems)
        chosen = self._nearest_frames(keys)
        stamps = [stamp for stamp, _ in chosen.values()]
        skew = max(stamps) - min(stamps)
        if skew > self._contract.max_skew:
            return None, (f'cameras are not synchronous ({skew:.3f} s apart, max_skew '
                          f'{self._contract.max_skew:.3f} s; check rates and clocks of '
                          f'{", ".join(keys)})',)
        pose = self._poses.at(min(stamps), self._contract.pose.max_age)
        if pose is None:
            return None, (f'no end-effector pose at the time of the images ({min(stamps):.3f} s; '
                          f'check the clock of {self._contract.pose.topic!r})',)
        joints = self._nearest_joints(min(stamps)) if with_joints else {}
        images = {key: payload for key, (_, payload) in chosen.items()}
        return Snapshot(min(stamps), images, pose, joints), ()

    def _stream_problems(self, now: float, keys: Iterable[str], with_joints: bool) -> list[str]:
        problems = []
        for key in keys:
            frames = self._frames[key]
            problems.append(_fault(f'camera {key!r}', frames[-1][0] if frames else None, now,
                                   self._contract.cameras[key]))
        problems.append(self._pose_refused or _fault(
            'end-effector pose', self._poses.newest_stamp, now, self._contract.pose))
        if with_joints and self._contract.joints is not None:
            problems.append(_fault('joint states', self._joints[-1][0] if self._joints else None,
                                   now, self._contract.joints))
        return [problem for problem in problems if problem]

    def _nearest_frames(self, keys: Iterable[str]) -> dict[str, tuple[float, Payload]]:
        """Return per camera the frame nearest to the newest instant that all have reached."""
        wanted = min(self._frames[key][-1][0] for key in keys)
        return {key: min(self._frames[key], key=lambda frame: abs(frame[0] - wanted))
                for key in keys}

    def _nearest_joints(self, stamp: float) -> Mapping[str, float]:
        return min(self._joints, key=lambda entry: abs(entry[0] - stamp))[1]


def state_vector(snapshot: Snapshot[Payload], names: Sequence[str],
                 contract: RobotContract) -> FloatArray:
    """Return the state in the order of ``names``, units of the robot contract's vocabulary.

    Raises:
        ObservationError: a joint is not among the joint states, or a value is unknown.

    """
    pose = dict(zip(POSE_STATE_NAMES, (*snapshot.pose.position, *snapshot.pose.quaternion),
                    strict=True))
    return np.array([_state_value(name, pose, snapshot.joints, contract) for name in names])


def _state_value(name: str, pose: Mapping[str, float], joints: Mapping[str, float],
                 contract: RobotContract) -> float:
    if name in pose:
        return float(pose[name])
    joint, scale = name.removeprefix(JOINT_STATE_PREFIX), 1.0
    if name == GRIPPER_STATE_NAME and contract.gripper is not None:
        joint, scale = contract.gripper.joint, contract.gripper.scale
    elif joint == name:
        raise ObservationError(unknown('state value', name, POSE_STATE_NAMES))
    if joint not in joints:
        raise ObservationError(f'state {name!r}: {unknown("joint", joint, joints)}')
    return joints[joint] * scale


def _fault(name: str, stamp: float | None, now: float, stream: Stream) -> str | None:
    fault = stream_fault(name, stamp, now, stream.max_age)
    return fault and f'{fault} (topic {stream.topic!r}: ros2 topic hz, ros2 topic info -v)'
