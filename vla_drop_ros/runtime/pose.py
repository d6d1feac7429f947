# SPDX-License-Identifier: Apache-2.0
"""The end-effector pose and its recent history, looked up by stamp."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from vla_drop_ros.runtime import rotation
from vla_drop_ros.types import FloatArray


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the end effector is, in the base frame.

    Attributes:
        position: [m], shape (3,).
        quaternion: unit, x y z w, shape (4,).

    """

    position: FloatArray
    quaternion: FloatArray

    @property
    def is_finite(self) -> bool:
        """Say whether every number can be used."""
        return bool(np.isfinite(self.position).all() and np.isfinite(self.quaternion).all())


def interpolate(start: Pose, end: Pose, share: float) -> Pose:
    """Return the pose ``share`` (0..1) of the way from start to end."""
    return Pose(start.position + share * (end.position - start.position),
                rotation.turned(start.quaternion, end.quaternion, share))


SET_BACK = 1.0
"""A stamp that much older than the newest is of a clock that was set back, [s]."""


class PoseHistory:
    """Recent measured poses, newest last; stamps strictly increase."""

    def __init__(self, horizon: float) -> None:
        """Keep poses for ``horizon`` seconds before the newest."""
        self._horizon = horizon
        self._entries: deque[tuple[float, Pose]] = deque()

    def add(self, stamp: float, pose: Pose) -> str | None:
        """Store a pose; return why it was refused, or None.

        One that is much older than the newest begins the history anew: the clock was set back, or
        the newest was stamped by mistake; either way what is measured now is the truth.
        """
        if not pose.is_finite or not np.isfinite(stamp):
            return 'pose is not finite'
        if self._entries and stamp < self._entries[-1][0] - SET_BACK:
            self._entries.clear()
        if self._entries and stamp <= self._entries[-1][0]:
            return 'pose is not newer than the last one'
        self._entries.append((stamp, pose))
        while self._entries[0][0] < stamp - self._horizon:
            self._entries.popleft()
        return None

    @property
    def newest(self) -> Pose | None:
        """Return the newest pose, or None before the first."""
        return self._entries[-1][1] if self._entries else None

    @property
    def newest_stamp(self) -> float | None:
        """Return the stamp of the newest pose [s], or None before the first."""
        return self._entries[-1][0] if self._entries else None

    def at(self, stamp: float, tolerance: float) -> Pose | None:
        """Return the pose at ``stamp``, interpolated.

        Outside the history the nearest end is returned when it is at most ``tolerance`` [s] away,
        else None.
        """
        later: tuple[float, Pose] | None = None
        for entry in reversed(self._entries):
            if entry[0] <= stamp:
                return self._join(entry, later, stamp, tolerance)
            later = entry
        if later is not None and later[0] - stamp <= tolerance:
            return later[1]
        return None

    @staticmethod
    def _join(before: tuple[float, Pose], after: tuple[float, Pose] | None, stamp: float,
              tolerance: float) -> Pose | None:
        if after is None:
            return before[1] if stamp - before[0] <= tolerance else None
        if min(stamp - before[0], after[0] - stamp) > tolerance:
            return None  # nothing was measured anywhere near
        return interpolate(before[1], after[1], (stamp - before[0]) / (after[0] - before[0]))
