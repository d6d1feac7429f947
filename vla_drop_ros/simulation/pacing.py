# SPDX-License-Identifier: Apache-2.0
"""Keep simulated time in step with wall time; the wall clock is an argument."""

from math import floor

PATIENCE = 0.1  # [s] of lateness that is caught up; the rest is dropped, so time slows down
WINDOW = 2.0    # [s] of wall time over which the real-time factor is measured


class Pacer:
    """Tell how long to wait for the next instant of simulated time.

    A slow computer slows simulated time down: instants are never skipped, and a stall is not
    followed by a rush.
    """

    def __init__(self, speed: float, simulated: float, now: float) -> None:
        """Start at simulated time ``simulated`` [s] and wall time ``now`` [s].

        Args:
            speed: simulated seconds a second; 0 = as fast as possible.
            simulated: simulated time, [s].
            now: monotonic wall time, [s].

        """
        self.factor = 0.0
        self._restart(speed, simulated, now)
        self._window = (simulated, now)

    def _restart(self, speed: float, simulated: float, now: float) -> None:
        self._speed = speed
        self._origin = (simulated, now)

    def change_speed(self, speed: float, simulated: float, now: float) -> None:
        """Go on from here with another speed."""
        self._restart(speed, simulated, now)

    def delay(self, simulated: float, now: float) -> float:
        """Return how many wall seconds before simulated time may be ``simulated``, >= 0."""
        self._measure(simulated, now)
        if self._speed <= 0.0:
            return 0.0
        due = self._origin[1] + (simulated - self._origin[0]) / self._speed
        if now - due > PATIENCE:
            self._restart(self._speed, simulated, now - PATIENCE)
        return max(due - now, 0.0)

    def _measure(self, simulated: float, now: float) -> None:
        elapsed = now - self._window[1]
        if elapsed >= WINDOW:
            self.factor = (simulated - self._window[0]) / elapsed
            self._window = (simulated, now)


class Cadence:
    """Tell which instants are due at a fixed rate, without drift."""

    def __init__(self, rate: float) -> None:
        """Be due ``rate`` times a second [Hz], the first time at once; 0 = never."""
        self._rate = rate
        self._last: int | None = None

    def due(self, now: float) -> bool:
        """Tell whether one more is due at ``now`` [s], and count it as done."""
        period = floor(now * self._rate + 1e-6)
        if self._rate <= 0.0 or period == self._last:
            return False
        self._last = period
        return True
