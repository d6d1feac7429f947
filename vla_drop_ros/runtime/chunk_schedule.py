# SPDX-License-Identifier: Apache-2.0
"""Action chunks on an absolute time base: which target holds at time t.

Step i of a chunk runs from its stamp + times[i-1] to its stamp + times[i]; between those knots
the target is interpolated, so the control rate is free of the policy's rate, and steps that lie in
the past are never made up for. A newer chunk takes over at once, faded in over a short window, or
is averaged with the older ones (temporal ensembling).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vla_drop_ros.runtime import rotation
from vla_drop_ros.runtime.pose import interpolate, Pose
from vla_drop_ros.types import FloatArray, GRIPPER_NAME, ROTATION_NAMES, TRANSLATION_NAMES

MAX_CHUNKS = 16


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
                     reference: Literal['delta', 'absolute'], measured: Pose,
                     axes: Sequence[str] = TRANSLATION_NAMES) -> Trajectory:
    """Turn a chunk into poses in the base frame, or into joint positions.

    Args:
        names: one per action dimension, as in ``ActionSpec``.
        stamp: capture time, [s].
        times: end of each step after the stamp, [s], increasing, shape (n,).
        actions: shape (n, len(names)).
        reference: ``delta`` sums steps onto ``measured``; ``absolute`` takes them as poses.
        measured: pose at the stamp; what the chunk does not name stays as it is.
        axes: what each number of ``Pose.position`` is called in actions.

    """
    poses = [measured]
    moves = _columns(names, actions, axes)
    turns = _columns(names, actions, ROTATION_NAMES)
    named = np.array([name in names for name in axes])
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
    """The chunk in force, and the older ones that still have a say."""

    def __init__(self, blend: float, ensemble: float = 0.0) -> None:
        """Combine chunks that overlap.

        Args:
            blend: time over which a new chunk fades in, [s]; 0 switches at once.
            ensemble: time constant with which older chunks lose weight, [s]; 0: they are gone as
                soon as the newest has faded in. Large: a plain average of all that still cover
                the present (temporal ensembling, Zhao et al. 2023, arXiv 2304.13705).

        """
        self._blend = blend
        self._ensemble = ensemble
        self._chunks: list[tuple[float, Trajectory]] = []

    @property
    def stamp(self) -> float | None:
        """Return the stamp of the newest chunk [s], or None."""
        return self._chunks[-1][1].stamp if self._chunks else None

    @property
    def end(self) -> float | None:
        """Return when the newest chunk runs out [s], or None."""
        return self._chunks[-1][1].end if self._chunks else None

    def accept(self, trajectory: Trajectory, now: float) -> None:
        """Let a newer chunk take over from ``now`` [s] on."""
        self._chunks.append((now, trajectory))
        del self._chunks[:-MAX_CHUNKS]

    def clear(self) -> None:
        """Forget everything, so that nothing old is ever resumed."""
        self._chunks.clear()

    def target(self, now: float) -> Target | None:
        """Return the target at ``now`` [s]; after the end the last pose; None without a chunk."""
        if not self._chunks:
            return None
        weights = self._weights(now)
        del self._chunks[:len(self._chunks) - len(weights)]  # those without a say, for good
        newest = self._chunks[-1][1].target(now)
        pose, total = newest.pose, weights[0]
        for weight, (_, trajectory) in zip(weights[1:], self._chunks[-2::-1], strict=True):
            total += weight
            if weight > 0:
                pose = interpolate(pose, trajectory.target(now).pose, weight / total)
        return Target(pose, newest.gripper)

    def _weights(self, now: float) -> list[float]:
        """Return the weights of the chunks that have a say, the newest first."""
        weights: list[float] = []
        left, newest = 1.0, self._chunks[-1][1]
        for taken_over, trajectory in reversed(self._chunks):
            share = 1.0 if self._blend <= 0 else float(
                np.clip((now - taken_over) / self._blend, 0.0, 1.0))
            if self._ensemble > 0:
                share *= self._fading(trajectory, newest, now)
            weights.append(left * share)
            if self._ensemble <= 0:
                left *= 1.0 - share
            if left <= 0:
                break
        return weights

    def _fading(self, trajectory: Trajectory, newest: Trajectory, now: float) -> float:
        """Return the weight of a chunk in an ensemble: an older one fades out towards its end."""
        if trajectory is newest:
            return 1.0
        fading = max(self._blend, 1e-3)
        return float(np.exp(-(newest.stamp - trajectory.stamp) / self._ensemble)
                     * np.clip((trajectory.end - now) / fading, 0.0, 1.0))
