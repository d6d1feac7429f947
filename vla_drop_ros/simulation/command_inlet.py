# SPDX-License-Identifier: Apache-2.0
"""The controller interface of the simulated arm: what it takes as a command, and what not."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vla_drop_ros.types import FloatArray

REPEATED = 1e-6  # [m] within which two commands are the same


class CommandInlet:
    """Hold the newest valid target; before the first command there is none: the arm holds.

    After a reset the arm stands somewhere else. Commanders that repeat the old target, because
    they do not know yet, are not obeyed until they command something new.
    """

    def __init__(self, frame: str) -> None:
        """Take poses in ``frame`` only."""
        self.rejected: Counter[str] = Counter()
        self.position: FloatArray | None = None
        self.width: float | None = None
        self._frame = frame
        self._stale_position: FloatArray | None = None
        self._stale_width: float | None = None

    def offer_pose(self, frame: str, position: Sequence[float],
                   quaternion: Sequence[float]) -> str | None:
        """Take a target for the tool centre point, [m]; return why it was rejected, or None.

        The hand always points down, so the orientation is checked and then ignored.
        """
        reason = None
        if frame != self._frame:
            reason = f'frame {frame!r} is not {self._frame!r}'
        elif not np.isfinite([*position, *quaternion]).all():
            reason = 'pose is not finite'
        if reason:
            return self._reject(reason)
        target = np.array(position, dtype=float)
        if self._stale_position is None or not np.allclose(
                target, self._stale_position, rtol=0.0, atol=REPEATED):
            self.position, self._stale_position = target, None
        return None

    def offer_width(self, values: Sequence[float]) -> str | None:
        """Take a gripper opening [m], the only value; return why it was rejected, or None."""
        if len(values) != 1:
            return self._reject('gripper command must hold one value, the width [m]')
        if not np.isfinite(values[0]):
            return self._reject('gripper width is not finite')
        width = float(values[0])
        if self._stale_width is None or abs(width - self._stale_width) > REPEATED:
            self.width, self._stale_width = width, None
        return None

    def forget(self) -> None:
        """Hold from now on, and do not obey repetitions of the commands so far."""
        if self.position is not None:
            self._stale_position, self.position = self.position, None
        if self.width is not None:
            self._stale_width, self.width = self.width, None

    def _reject(self, reason: str) -> str:
        self.rejected[reason] += 1
        return reason
