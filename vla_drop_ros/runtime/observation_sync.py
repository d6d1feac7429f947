# SPDX-License-Identifier: Apache-2.0
"""One observation from streams that arrive on their own: joined by header stamp, never by luck.

What cannot be joined is named with the fix; there is no observation with a black or old image.
A stream is broken when it is missing, late, frozen, of another size than before, or stamped with
zero or the future. That streams in order have nothing to join just now breaks nothing.
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
    latency_of,
    POSE_STATE_NAMES,
    RobotContract,
    Stream,
)
from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.pose import Pose, PoseHistory
from vla_drop_ros.runtime.stream_health import (
    CameraWatch,
    FROZEN_TRAVEL,
    FROZEN_TURN,
    LOSS_LIMIT,
    StreamHealth,
)
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
        pose: end-effector pose at the stamp; None on a robot that does not publish it.
        joints: joint name -> position [rad or m] nearest to the stamp; empty without joints.

    """

    stamp: float
    images: Mapping[str, Payload]
    pose: Pose | None
    joints: Mapping[str, float]


def reads_joints(state_names: Iterable[str]) -> bool:
    """Say whether any of the state values comes from the joints."""
    return any(name.startswith(JOINT_STATE_PREFIX) or name == GRIPPER_STATE_NAME
               for name in state_names)


class ObservationSync(Generic[Payload]):
    """Keeps the last few messages of every stream of a contract, and joins them on request.

    Attributes:
        broken: whether the last ``join`` found a stream that is broken, so that nothing can be
            joined until it is repaired.

    """

    def __init__(self, contract: RobotContract) -> None:
        """Keep nothing yet."""
        self.broken = False
        self._contract = contract
        self._frames: dict[str, deque[tuple[float, Payload]]] = {
            key: deque(maxlen=FRAMES_KEPT) for key in contract.cameras}
        self._watches = {key: CameraWatch() for key in contract.cameras}
        self._poses = PoseHistory(POSE_HISTORY)
        self._joints: deque[tuple[float, Mapping[str, float]]] = deque(maxlen=JOINTS_KEPT)
        self._pose_refused = ''
        self._cameras = {key: StreamHealth() for key in contract.cameras}
        self._pose_health, self._joints_health = StreamHealth(), StreamHealth()

    def add_image(self, key: str, stamp: float, payload: Payload, form: str = '',
                  unchanged: bool = False) -> None:
        """Store an image; the payload is not looked at.

        Args:
            key: of the camera.
            stamp: of the header, [s].
            payload: what a snapshot gives back.
            form: size and encoding in words; an image unlike the first is named, not stored.
            unchanged: whether every byte is that of the image before.

        """
        health, watch = self._cameras[key], self._watches[key]
        health.add(stamp)
        if health.is_set_back:
            self._frames[key].clear()
            watch.begin()
        if health.is_zero:
            return
        capture = stamp - self._contract.cameras[key].latency
        watch.add(capture, form, unchanged)
        if not watch.is_resized:
            self._frames[key].append((capture, payload))

    def add_pose(self, stamp: float, position: Sequence[float], quaternion: Sequence[float],
                 frame: str) -> None:
        """Store an end-effector pose; ``join`` names one in a foreign frame or not finite.

        Like an image it counts from when it was measured: the stamp less the stream's latency.
        """
        base = self._contract.base_frame
        self._pose_health.add(stamp)
        if self._pose_health.is_set_back:
            self._poses = PoseHistory(POSE_HISTORY)
        if frame != base:
            self._pose_refused = f'end-effector pose is in frame {frame!r}, needed is {base!r}'
            return
        pose = Pose(np.array(position, dtype=float),
                    rotation.normalized(np.array(quaternion, dtype=float)))
        self._pose_refused = '' if pose.is_finite else 'end-effector pose is not finite'
        if not self._pose_health.is_zero:
            self._poses.add(stamp - latency_of(self._contract.pose), pose)

    def add_joints(self, stamp: float, positions: Mapping[str, float]) -> None:
        """Store joint name -> position [rad or m], at the stamp less the stream's latency."""
        self._joints_health.add(stamp)
        if self._joints_health.is_set_back:
            self._joints.clear()
        if not self._joints_health.is_zero:
            self._joints.append((stamp - latency_of(self._contract.joints), positions))

    def join(self, now: float, cameras: Iterable[str],
             with_joints: bool) -> tuple[Snapshot[Payload] | None, tuple[str, ...]]:
        """Return a snapshot of the wanted streams, or None and every reason why there is none."""
        keys = tuple(cameras)
        problems = self._stream_problems(now, keys, with_joints)
        self.broken = bool(problems)
        if problems:
            return None, tuple(problems)
        chosen = self._nearest_frames(keys)
        stamps = [stamp for stamp, _ in chosen.values()]
        oldest, skew = min(stamps), max(stamps) - min(stamps)
        if skew > self._contract.max_skew:
            return None, (f'cameras are not synchronous ({skew:.3f} s apart, max_skew '
                          f'{self._contract.max_skew:.3f} s; check rates and clocks of '
                          f'{", ".join(keys)})',)
        pose, joints = None, None
        if self._contract.pose is not None:
            pose = self._poses.at(oldest, self._contract.pose.max_age)
            if pose is None:
                problems.append(_apart('end-effector pose', oldest, self._contract.pose))
        if with_joints and self._contract.joints is not None:
            joints = self._nearest_joints(oldest, self._contract.joints.max_age)
            if joints is None:
                problems.append(_apart('joint state', oldest, self._contract.joints))
        if problems:
            return None, tuple(problems)
        images = {key: payload for key, (_, payload) in chosen.items()}
        return Snapshot(oldest, images, pose, joints or {}), ()

    def health(self, now: float) -> dict[str, str]:
        """Return what diagnostics show of every stream at ``now`` [s], such as 'front age [ms]'.

        Streams are named by camera key, ``pose`` and ``joints``.
        """
        values: dict[str, str] = {}
        for key, camera in self._cameras.items():
            watch = self._watches[key]
            values |= camera.values(key, now, self._contract.cameras[key].latency)
            values[f'{key} unchanged [s]'] = f'{watch.until - watch.since:.2f}'
            values[f'{key} image'] = watch.form
        for name, health, stream in (('pose', self._pose_health, self._contract.pose),
                                     ('joints', self._joints_health, self._contract.joints)):
            if stream is not None:
                values |= health.values(name, now, stream.latency)
        return values

    def losses(self, now: float) -> dict[str, float]:
        """Return camera key -> share of frames lost lately (0 .. 1), where it is too much."""
        shares = {key: camera.share_lost(now) for key, camera in self._cameras.items()}
        return {key: share for key, share in shares.items() if share > LOSS_LIMIT}

    def _stream_problems(self, now: float, keys: Iterable[str], with_joints: bool) -> list[str]:
        problems = [self._camera_problem(key, now) for key in keys]
        if self._contract.pose is not None:
            problems.append(self._pose_refused or _fault(
                'end-effector pose', self._poses.newest_stamp, now, self._contract.pose,
                self._pose_health))
        if with_joints and self._contract.joints is not None:
            problems.append(_fault('joint states', self._joints[-1][0] if self._joints else None,
                                   now, self._contract.joints, self._joints_health))
        return [problem for problem in problems if problem]

    def _camera_problem(self, key: str, now: float) -> str | None:
        """Return why a camera cannot be used at ``now``, or None."""
        stream, watch, health = self._contract.cameras[key], self._watches[key], self._cameras[key]
        frames, name = self._frames[key], f'camera {key!r}'
        watch.follow(self._place_at)
        if watch.is_resized and not health.is_zero:
            return (f'{name} changed its images ({watch.form}, first {watch.first_form}; set its '
                    f'driver back, or configure again to accept it; topic {stream.topic!r})')
        fault = _fault(name, frames[-1][0] if frames else None, now, stream, health)
        if fault and health.repeats and now - frames[-1][0] > stream.max_age:
            return (f'{name} frozen (the same stamp came {health.repeats + 1} times, the last '
                    f'{now - frames[-1][0]:.2f} s old; restart its driver; '
                    f'topic {stream.topic!r})')
        least, moved = ((FROZEN_TRAVEL, f'end effector moved {watch.travel:.2f} m')
                        if self._contract.pose is not None else
                        (FROZEN_TURN, f'joints moved {watch.travel:.2f} rad'))
        is_real = self._contract.interlock == 'enable'
        if fault is None and watch.is_frozen(stream.max_age, least, is_real):
            return (f'{name} frozen (the same pixels for {watch.until - watch.since:.2f} s while '
                    f'the {moved}; restart its driver, or uncover it; topic {stream.topic!r})')
        return fault

    def _place_at(self, stamp: float) -> FloatArray | None:
        """Return where the robot was: the measured position [m], else the commanded joints."""
        if self._contract.pose is not None:
            pose = self._poses.at(stamp, self._contract.pose.max_age)
            return None if pose is None else pose.position
        stream, names = self._contract.joints, self._contract.action.joints
        joints = self._nearest_joints(stamp, stream.max_age) if stream is not None else None
        if joints is None or not all(name in joints for name in names):
            return None
        return np.array([joints[name] for name in names])

    def _nearest_frames(self, keys: Iterable[str]) -> dict[str, tuple[float, Payload]]:
        """Return per camera the frame nearest to the newest instant that all have reached."""
        wanted = min(self._frames[key][-1][0] for key in keys)
        return {key: min(self._frames[key], key=lambda frame: abs(frame[0] - wanted))
                for key in keys}

    def _nearest_joints(self, stamp: float, tolerance: float) -> Mapping[str, float] | None:
        """Return the joints nearest to ``stamp``, None when they are further away [s]."""
        nearest: Mapping[str, float] | None = None
        for one, positions in reversed(self._joints):
            if abs(one - stamp) <= tolerance:
                nearest, tolerance = positions, abs(one - stamp)
            if one <= stamp:  # what came before is older still
                break
        return nearest


def state_vector(snapshot: Snapshot[Payload], names: Sequence[str],
                 contract: RobotContract) -> FloatArray:
    """Return the state in the order of ``names``, units of the robot contract's vocabulary.

    Raises:
        ObservationError: a joint is not among the joint states, or a value is unknown.

    """
    measured = snapshot.pose
    pose = {} if measured is None else dict(zip(
        POSE_STATE_NAMES, (*measured.position, *measured.quaternion), strict=True))
    return np.array([_state_value(name, pose, snapshot.joints, contract) for name in names])


def _state_value(name: str, pose: Mapping[str, float], joints: Mapping[str, float],
                 contract: RobotContract) -> float:
    if name in pose:
        return float(pose[name])
    joint, gripper = name.removeprefix(JOINT_STATE_PREFIX), None
    if name == GRIPPER_STATE_NAME and contract.gripper is not None:
        joint, gripper = contract.gripper.joint, contract.gripper
    elif joint == name:
        raise ObservationError(unknown('state value', name, POSE_STATE_NAMES))
    if joint not in joints:
        raise ObservationError(f'state {name!r}: {unknown("joint", joint, joints)}')
    return joints[joint] if gripper is None else gripper.width(joints[joint])


def _fault(name: str, stamp: float | None, now: float, stream: Stream,
           health: StreamHealth) -> str | None:
    if health.is_zero:
        return (f'{name} stamped zero (its driver must set header.stamp to the time of capture; '
                f'topic {stream.topic!r}: ros2 topic echo --field header)')
    fault = stream_fault(name, stamp, now, stream.max_age)
    return fault and f'{fault} (topic {stream.topic!r}: ros2 topic hz, ros2 topic info -v)'


def _apart(name: str, stamp: float, stream: Stream) -> str:
    return (f'no {name} at the time of the images ({stamp:.3f} s, within {stream.max_age:.2f} s; '
            f'check the clock of {stream.topic!r})')
