# SPDX-License-Identifier: Apache-2.0
"""Action chunks on an absolute time base: which target holds at time t.

Step i of a chunk runs from its stamp + times[i-1] to its stamp + times[i]; between those knots
the target is interpolated, so the control rate is free of the policy's rate. A newer chunk takes
over at once, faded in over a short window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.pose import interpolate, Pose
from vla_drop_ros.types import FloatArray, GRIPPER_NAME, ROTATION_NAMES, TRANSLATION_NAMES


@dataclass(frozen=True, slots=True)
class Target:
    """What the end effector should do: a pose, and a gripper width [m] or None for no opinion."""

    pose: Pose
    gripper: float | None

    @property
    def is_finite(self) -> bool:
        """Say whether every number can be used."""
        return self.pose.is_finite and (self.gripper is None or bool(np.isfinite(self.gripper)))


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A chunk turned into poses.

    Attributes:
        stamp: capture time of the observation, [s].
        times: time of each knot, [s], shape (n + 1,); the first is the stamp.
        poses: one per knot; the first is the reference pose.
        grippers: width during each step, [m], shape (n,); None when the chunk has no gripper.

    """

    stamp: float
    times: FloatArray
    poses: tuple[Pose, ...]
    grippers: FloatArray | None

    @property
    def end(self) -> float:
        """Return when the last step ends, [s]."""
        return float(self.times[-1])

    def target(self, now: float) -> Target:
        """Return the target at ``now`` [s]; before the start and after the end it stands still."""
        step = int(np.clip(np.searchsorted(self.times, now, side='right') - 1, 0,
                           len(self.times) - 2))
        begin, end = self.times[step], self.times[step + 1]
        share = float(np.clip((now - begin) / (end - begin), 0.0, 1.0))
        gripper = None if self.grippers is None else float(self.grippers[step])
        return Target(interpolate(self.poses[step], self.poses[step + 1], share), gripper)


def build_trajectory(names: Sequence[str], stamp: float, times: FloatArray, actions: FloatArray,
                     reference: Literal['delta', 'absolute'], measured: Pose) -> Trajectory:
    """Turn a chunk into poses in the base frame.

    Args:
        names: one per action dimension, as in ``ActionSpec``.
        stamp: capture time, [s].
        times: end of each step after the stamp, [s], increasing, shape (n,).
        actions: shape (n, len(names)).
        reference: ``delta`` sums steps onto ``measured``; ``absolute`` takes them as poses.
        measured: end-effector pose at the stamp; what the chunk does not name stays as it is.

    """
    poses = [measured]
    moves = _columns(names, actions, TRANSLATION_NAMES)
    turns = _columns(names, actions, ROTATION_NAMES)
    named = np.array([name in names for name in TRANSLATION_NAMES])
    turning = any(name in names for name in ROTATION_NAMES)
    for move, turn in zip(moves, turns, strict=True):
        quaternion = poses[-1].quaternion
        if reference == 'delta':
            position = poses[-1].position + move
            if turning:
                quaternion = rotation.multiply(rotation.from_vector(turn), quaternion)
        else:
            position = np.where(named, move, measured.position)
            if turning:
                quaternion = rotation.from_vector(turn)
        poses.append(Pose(position, quaternion))
    grippers = actions[:, list(names).index(GRIPPER_NAME)] if GRIPPER_NAME in names else None
    return Trajectory(stamp, np.concatenate([[stamp], stamp + times]), tuple(poses), grippers)


def _columns(names: Sequence[str], actions: FloatArray, wanted: Sequence[str]) -> FloatArray:
    """Return the wanted columns, shape (n, len(wanted)); those not named are zero."""
    columns = np.zeros((len(actions), len(wanted)))
    for i, name in enumerate(wanted):
        if name in names:
            columns[:, i] = actions[:, list(names).index(name)]
    return columns


class ChunkSchedule:
    """The chunk in force, and the one it is taking over from."""

    def __init__(self, blend: float) -> None:
        """Fade a new chunk in over ``blend`` seconds; 0 switches at once."""
        self._blend = blend
        self._current: Trajectory | None = None
        self._previous: Trajectory | None = None
        self._taken_over = 0.0

    @property
    def stamp(self) -> float | None:
        """Return the stamp of the chunk in force [s], or None."""
        return self._current.stamp if self._current else None

    @property
    def end(self) -> float | None:
        """Return when the chunk in force runs out [s], or None."""
        return self._current.end if self._current else None

    def accept(self, trajectory: Trajectory, now: float) -> None:
        """Let a newer chunk take over from ``now`` [s] on."""
        self._previous, self._current = self._current, trajectory
        self._taken_over = now

    def clear(self) -> None:
        """Forget everything, so that nothing old is ever resumed."""
        self._current = self._previous = None

    def target(self, now: float) -> Target | None:
        """Return the target at ``now`` [s]; after the end the last pose; None without a chunk."""
        if self._current is None:
            return None
        target = self._current.target(now)
        share = (now - self._taken_over) / self._blend if self._blend > 0 else 1.0
        if self._previous is None or share >= 1.0:
            self._previous = None
            return target
        old = self._previous.target(now)
        return Target(interpolate(old.pose, target.pose, max(share, 0.0)), target.gripper)
