# SPDX-License-Identifier: Apache-2.0
"""How much time a command has, when the ticks that command are not even.

Two commands give a mean velocity, that of the middle of the gap between them. From one middle to
the next the velocity may grow by the acceleration limit times the time between the middles, which
is the mean of both gaps. After a long gap a command covers two periods at most, so that its mean
velocity over the gap is less than what was asked of it.
"""

from dataclasses import dataclass, replace

from vla_drop_ros.runtime.safety_limits import Commanded

LONGEST = 2.0
"""Periods that one command covers at most: a late tick earns no jump."""


@dataclass(frozen=True, slots=True)
class Step:
    """The time of one command.

    Attributes:
        span: that its motion may take, [s].
        growing: that its velocity may grow for, at most ``span``, [s].
        share: of its velocity that is the mean over the gap before it.

    """

    span: float
    growing: float
    share: float


class Pace:
    """Knows when the last command was, and how long before it the one before."""

    def __init__(self, period: float) -> None:
        """Take the time between two ticks, [s]."""
        self._period = period
        self.begin()

    def begin(self) -> None:
        """Forget the commands so far."""
        self._last: float | None = None
        self._before = self._period

    def step(self, now: float) -> Step:
        """Return the time that a command at ``now`` [s] has."""
        gap = self._gap(now)
        span = min(gap, LONGEST * self._period)
        return Step(span, min(span, (gap + self._before) / 2.0), span / gap if gap else 1.0)

    def commanded(self, now: float) -> None:
        """Take note of a command at ``now`` [s]."""
        self._before, self._last = self._gap(now) or self._before, now

    def _gap(self, now: float) -> float:
        return self._period if self._last is None else max(now - self._last, 0.0)


def as_seen(command: Commanded, step: Step) -> Commanded:
    """Return a command with the mean velocity that the gap before it makes of its own."""
    if step.share == 1.0:
        return command
    return replace(command, linear=command.linear * step.share,
                   angular=command.angular * step.share)
