# SPDX-License-Identifier: Apache-2.0
"""The velocity interface of the simulated arm, as of MoveIt Servo: a twist holds for a moment."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from vla_drop_ros.types import FloatArray

HALTS = 0.1
"""Time after which the arm halts where no twist came, [s]; what MoveIt Servo is shipped with."""


class TwistInlet:
    """Turn velocities into the way of the commanded point; without a fresh one it stands."""

    def __init__(self, frame: str) -> None:
        """Take twists in ``frame`` only."""
        self.rejected: Counter[str] = Counter()
        self._frame = frame
        self.forget()

    def offer(self, frame: str, linear: Sequence[float], angular: Sequence[float]) -> str | None:
        """Take a velocity of the tool centre point, [m/s]; return why it was rejected, or None.

        The hand always points down, so the rate of turn is checked and then ignored.
        """
        reason = None
        if frame != self._frame:
            reason = f'frame {frame!r} is not {self._frame!r}'
        elif not np.isfinite([*linear, *angular]).all():
            reason = 'twist is not finite'
        if reason:
            self.rejected[reason] += 1
            return reason
        self._velocity, self._left = np.array(linear, dtype=float), HALTS
        return None

    def advance(self, period: float) -> FloatArray:
        """Return the way of the commanded point in the next ``period`` [s], [m], shape (3,)."""
        moving = min(period, self._left)
        self._left = max(0.0, self._left - period)
        return self._velocity * moving

    def forget(self) -> None:
        """Stand still until the next twist."""
        self._velocity, self._left = np.zeros(3), 0.0
