# SPDX-License-Identifier: Apache-2.0
"""Velocities of a commanded stream and how they grow: finite differences over the stamps.

A command is a point in time and space. Between two of them stands a mean velocity, that of the
middle of the gap; between two such middles the velocity may grow by the acceleration limit times
the time. Where gaps differ, that time is the mean of both gaps, not the last one.
"""

from dataclasses import dataclass

import numpy as np

from vla_drop_ros.types import FloatArray

NUMBER_ERROR = 1e-6   # [m] or [rad]: a number that went through a message and back
STAMP_ERROR = 2.5e-7  # [s]: two Unix times as 64-bit floats, rounded by half of 2^-22 s each
SPEED_TOLERANCE = 1e-3  # share of the speed limit: stamps are whole nanoseconds


@dataclass(frozen=True, slots=True)
class Motion:
    """What lies between two commands.

    Attributes:
        gap: time between their stamps, > 0, [s].
        velocity: mean velocity, [m/s], or rate of turn in the frame of the commands, [rad/s],
            shape (3,).

    """

    gap: float
    velocity: FloatArray

    def at_rest(self) -> 'Motion':
        """Return no motion over the same gap."""
        return Motion(self.gap, np.zeros(3))

    def unknown(self) -> float:
        """Return how far off the velocity may be: two positions and the gap are not exact."""
        return (2.0 * NUMBER_ERROR + float(np.linalg.norm(self.velocity)) * STAMP_ERROR) / self.gap


def rotation_vector(before: FloatArray, after: FloatArray) -> FloatArray:
    """Return the shortest turn between two unit quaternions (x, y, z, w), [rad], shape (3,)."""
    axis0, axis1 = before[:3], after[:3]
    real = float(after @ before)
    imaginary = before[3] * axis1 - after[3] * axis0 - np.cross(axis1, axis0)
    length = float(np.linalg.norm(imaginary))
    if length == 0.0:
        return np.zeros(3)
    return imaginary * (2.0 * np.arctan2(length, abs(real)) * np.copysign(1.0, real) / length)


def growth(now: Motion, before: Motion) -> float:
    """Return the least change that makes a velocity of the one before or a part of it.

    Braking is free, so the part costs nothing: of the velocities from zero to the one before, the
    nearest counts.
    """
    square = float(before.velocity @ before.velocity)
    along = float(now.velocity @ before.velocity)
    part = min(max(along / square, 0.0), 1.0) if square > 0.0 else 0.0
    return float(np.linalg.norm(now.velocity - part * before.velocity))


def allowed_growth(limit: float, now: Motion, before: Motion) -> float:
    """Return by how much a velocity may have grown under a limit, [m/s^2] or [rad/s^2]."""
    time = (now.gap + before.gap) / 2.0 + STAMP_ERROR
    return limit * time + now.unknown() + before.unknown()


class Channel:
    """Position or orientation of the commands: how fast they change, and how that grows."""

    def __init__(self, rule: str, unit: str, speed: float, acceleration: float) -> None:
        """Take the limits.

        Args:
            rule: name of what is limited.
            unit: of the position, ``m`` or ``rad``.
            speed: largest change in a second.
            acceleration: largest growth of the speed in a second.

        """
        self._rule, self._unit, self._speed, self._acceleration = rule, unit, speed, acceleration
        self._before: Motion | None = None

    def begin(self) -> None:
        """Forget what was before: the next command has no predecessor."""
        self._before = None

    def stand(self, gap: float) -> None:
        """Take note that something else moves the arm; the commands follow it at rest."""
        self._before = Motion(gap, np.zeros(3))

    def judge(self, way: FloatArray, gap: float, held: bool) -> tuple[str, str] | None:
        """Return the rule that a step breaks, and the numbers; None where it breaks none.

        Args:
            way: from the last command to this one, shape (3,).
            gap: between their stamps, >= 0, [s].
            held: whether this one repeats what was measured; then it may jump, and stands there.

        """
        length = float(np.linalg.norm(way))
        allowed = self._speed * gap * (1.0 + SPEED_TOLERANCE) + NUMBER_ERROR
        jumped, before = length > allowed, self._before
        if gap > 0.0:
            now = Motion(gap, way / gap)
            self._before = now.at_rest() if jumped else now
        if jumped and not held:
            return self._rule, (f'{1000 * length:.2f} m{self._unit} in {1000 * gap:.0f} ms, '
                                f'allowed {1000 * allowed:.2f}')
        if held or gap == 0.0 or before is None:
            return None
        grown, most = growth(now, before), allowed_growth(self._acceleration, now, before)
        if grown <= most:
            return None
        return f'{self._rule} growth', (
            f'{grown:.4f} {self._unit}/s over gaps of {1000 * before.gap:.0f} and '
            f'{1000 * gap:.0f} ms, allowed {most:.4f}')
