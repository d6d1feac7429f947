# SPDX-License-Identifier: Apache-2.0
"""How the end effector moved in a trial: path, speed, smoothness, from its stamped positions.

Positions are put on an even grid and smoothed by a Gaussian, the same for every arm: the third
derivative of what a robot measures is noise otherwise. Smoothness is that of the time in which
the arm moved; both measures are without dimension, so that neither a longer way nor a slower
movement of the same shape changes them.
"""

from array import array
from collections.abc import Sequence
import math
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vla_drop_ros.types import FloatArray

CLOSEST = 0.004  # [s] between kept positions; robots measure at up to 1 kHz
FAR = 1e4  # [m] from the base, where no end effector is
GRID = 0.01  # [s] between positions on the even grid, or more where fewer were measured
CUTOFF = 5.0  # [Hz] at which the Gaussian halves the power
STILL = 0.003  # [m] from where it stood by which an arm has not moved yet
LONGEST = 2 * 3600.0  # [s] of a trial; a longer one is a clock that was set
GAP = 0.25  # [s] without a position after which nobody knows how smooth the movement was
FEWEST = 8  # positions of a movement whose smoothness means something
HIGHEST = 10.0  # [Hz] of the spectrum that is looked at
FAINT = 0.05  # of the largest magnitude: what lies beyond the last such frequency is left out
PADDING = 4  # doublings of the spectrum's length


class MotionTrack:
    """Positions of an end effector, kept as they come."""

    def __init__(self) -> None:
        """Have seen none."""
        self._stamps, self._points = array('d'), array('d')

    def add(self, stamp: float, position: Sequence[float]) -> None:
        """Take a position.

        One that is no number, nowhere near, older than the last or hardly newer is left out.

        Args:
            stamp: when it was measured, node clock, [s].
            position: x y z in the base frame, [m].

        """
        last = self._stamps[-1] if self._stamps else -math.inf
        usable = math.isfinite(stamp) and all(abs(value) < FAR for value in position)
        if not usable or stamp < last + CLOSEST:
            return
        self._stamps.append(stamp)
        self._points.extend(position)

    def to_dict(self, started: float) -> dict[str, Any]:
        """Return what is known of the motion; empty without positions.

        ``samples``; ``longest_gap`` [s] between two; ``path`` [m]; ``duration`` [s] from the first
        to the last motion; ``mean_speed`` in that time and ``max_speed`` [m/s]; ``moved_after``
        [s] after ``started``; ``sparc`` and ``jerk`` as the functions below. An arm that stood
        still has no smoothness, nor has one of which too little was measured. Across a gap the
        path is the straight line.

        Args:
            started: when the trial did, node clock, [s].

        """
        stamps = np.array(self._stamps)
        if len(stamps) < 2 or stamps[-1] - stamps[0] > LONGEST:
            return {'samples': len(stamps)} if len(stamps) else {}
        gaps = np.diff(stamps)
        period = max(GRID, float(np.median(gaps)))
        grid, points = _smoothed(stamps, np.array(self._points).reshape(-1, 3), period)
        velocity = np.gradient(points, period, axis=0)
        speed = np.linalg.norm(velocity, axis=1)
        first, last = _moving(points)
        path = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
        duration = (last - first) * period
        found = {'samples': len(stamps), 'longest_gap': float(gaps.max()), 'path': path,
                 'duration': duration, 'max_speed': float(speed.max())}
        if duration > 0.0:
            found |= {'mean_speed': path / duration,
                      'moved_after': max(0.0, float(grid[first]) - started)}
        if last - first >= FEWEST and gaps.max() <= GAP:
            jerk = np.gradient(np.gradient(velocity, period, axis=0), period, axis=0)
            found |= {'sparc': spectral_arc_length(speed[first:last + 1], period),
                      'jerk': log_dimensionless_jerk(
                          speed[first:last + 1], jerk[first:last + 1], period)}
        return {name: value if isinstance(value, int) else round(value, 5)
                for name, value in found.items()}


def spectral_arc_length(speed: FloatArray, period: float) -> float:
    """Return the negative length of the spectrum of a speed profile: nearer to zero is smoother.

    Frequency is scaled to 0..1 between zero and the last one below ``HIGHEST`` whose magnitude is
    not ``FAINT``; magnitude is scaled by the largest. Balasubramanian, Melendez-Calderon, Burdet:
    A robust and sensitive metric for quantifying movement smoothness, IEEE TBME 59 (2012), with
    the cut-off that follows the movement, J. NeuroEng. Rehabil. 12:112 (2015).

    Args:
        speed: [m/s], shape (n,), not zero everywhere.
        period: between two, [s].

    """
    length = 2 ** (math.ceil(math.log2(len(speed))) + PADDING)
    magnitude = np.abs(np.fft.rfft(speed, length))
    magnitude /= magnitude.max()
    frequency = np.fft.rfftfreq(length, period)
    heard = np.flatnonzero((magnitude >= FAINT) & (frequency <= HIGHEST))
    magnitude = magnitude[heard[0]:heard[-1] + 1]
    steps = 1.0 / max(1, len(magnitude) - 1)
    return -float(np.hypot(steps, np.diff(magnitude)).sum())


def log_dimensionless_jerk(speed: FloatArray, jerk: FloatArray, period: float) -> float:
    """Return -ln(T^3 / v^2 * integral of the squared jerk): nearer to zero is smoother.

    T is the length of the movement and v its largest speed. Hogan, Sternad: Sensitivity of
    smoothness measures to movement duration, amplitude, and arrests, J. Motor Behav. 41 (2009).

    Args:
        speed: [m/s], shape (n,), not zero everywhere.
        jerk: third derivative of the position, [m/s^3], shape (n, 3).
        period: between two, [s].

    """
    squared = np.square(jerk).sum(axis=1)
    integral = float(((squared[1:] + squared[:-1]) / 2.0).sum()) * period
    duration = (len(speed) - 1) * period
    return -math.log(max(integral * duration ** 3 / float(speed.max()) ** 2, 1e-12))


def _smoothed(stamps: FloatArray, points: FloatArray, period: float
              ) -> tuple[FloatArray, FloatArray]:
    """Return an even grid of times [s] and the smoothed positions [m] on it."""
    grid = stamps[0] + period * np.arange(int((stamps[-1] - stamps[0]) / period) + 1)
    even = np.stack([np.interp(grid, stamps, column) for column in points.T], axis=1)
    width = math.sqrt(math.log(2.0)) / (2.0 * math.pi * CUTOFF) / period
    return grid, gaussian_filter1d(even, width, axis=0, mode='nearest')


def _moving(points: FloatArray) -> tuple[int, int]:
    """Return where the arm left its first place, and where it reached its last; (0, 0): never."""
    left = np.flatnonzero(np.linalg.norm(points - points[0], axis=1) > STILL)
    away = np.flatnonzero(np.linalg.norm(points - points[-1], axis=1) > STILL)
    if not len(left):
        return 0, 0
    return int(left[0]), int(max(left[0], away[-1] + 1 if len(away) else left[-1]))
