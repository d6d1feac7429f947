# SPDX-License-Identifier: Apache-2.0
"""The joint interface of the simulated arm, as of a joint trajectory controller."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vla_drop_ros.types import FloatArray

Point = tuple[float, Sequence[float]]


class TrajectoryInlet:
    """Follow the newest trajectory in straight lines; before the first there is none to follow."""

    def __init__(self, joints: Sequence[str]) -> None:
        """Take trajectories that name each of ``joints`` once, in any order."""
        self.rejected: Counter[str] = Counter()
        self._joints = tuple(joints)
        self._points: list[tuple[float, FloatArray]] = []

    def offer(self, names: Sequence[str], points: Sequence[Point]) -> str | None:
        """Take points that start at once; return why they were rejected, or None.

        Args:
            names: order of the positions.
            points: time from now, [s], and positions, [rad]; times must grow.

        """
        reason = self._reason(names, points)
        if reason:
            self.rejected[reason] += 1
            return reason
        order = [list(names).index(name) for name in self._joints]
        self._points = [(float(time), np.array(positions, dtype=float)[order])
                        for time, positions in points]
        return None

    def advance(self, period: float, here: FloatArray) -> FloatArray:
        """Return the set points of the joints after ``period`` [s], [rad].

        Args:
            period: since the last call.
            here: set points now, shape (joints,).

        """
        begin = 0.0
        while self._points:
            time, positions = self._points[0]
            if time > period:
                here = here + (positions - here) * (period - begin) / (time - begin)
                break
            here, begin = positions, max(begin, time)
            self._points.pop(0)
        self._points = [(time - period, positions) for time, positions in self._points]
        return here

    def forget(self) -> None:
        """Stand still until the next trajectory."""
        self._points = []

    def _reason(self, names: Sequence[str], points: Sequence[Point]) -> str | None:
        if sorted(names) != sorted(self._joints):
            return f'joints {list(names)} are not {list(self._joints)}'
        if not points or any(len(positions) != len(names) for _, positions in points):
            return 'a point does not have one position a joint'
        times = np.array([time for time, _ in points])
        if not np.isfinite(times).all() or not all(
                np.isfinite(positions).all() for _, positions in points):
            return 'trajectory is not finite'
        if times[0] < 0.0 or (np.diff(times) <= 0.0).any():
            return 'times do not grow'
        return None
