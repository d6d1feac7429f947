# SPDX-License-Identifier: Apache-2.0
"""What every twist on the wire is held against; like ``watch``, without a look at the gate's code.

A twist moves the arm until the next one comes, or until the controller halts. Where it leads is
the place at which the arm was measured, carried on by the twists since.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.drill.motion import growth, Motion, NUMBER_ERROR, SPEED_TOLERANCE, STAMP_ERROR
from bench.drill.watch import CommandWatch, LONGEST_GAP, Sample
from vla_drop_ros.types import FloatArray

HALTS = 0.1            # [s] without a twist after which the controller halts
HOP = 0.05             # [s] that a measured pose may need to the gate
RATE_ERROR = 1e-6      # [m/s], [rad/s]: a number that went through a message


@dataclass(frozen=True, slots=True)
class Twist(Sample):
    """A velocity; ``position`` is where the twists before it have led, from any beginning.

    Attributes:
        linear: [m/s], shape (3,).
        angular: [rad/s], shape (3,).

    """

    linear: FloatArray = field(default_factory=lambda: np.zeros(3))
    angular: FloatArray = field(default_factory=lambda: np.zeros(3))


@dataclass
class TwistWatch(CommandWatch):
    """Judges velocity commands; keeps what it heard (``CommandWatch``)."""

    _twists: list[Twist] = field(default_factory=list)

    def twist(self, wall: float, stamp: float, frame: str, linear: Sequence[float],
              angular: Sequence[float], heard: float | None = None) -> None:
        """Take an arm command; its numbers are judged now, its motion by ``settle``.

        Args:
            wall: when it was sent, [s].
            stamp: of its header, [s].
            frame: of its header.
            linear: [m/s], shape (3,).
            angular: [rad/s], shape (3,).
            heard: when it was heard, [s]; None: when it was sent.

        """
        move, turn = np.array(linear, dtype=float), np.array(angular, dtype=float)
        self._look_at_header(wall, stamp, frame)
        if not np.isfinite(move).all() or not np.isfinite(turn).all():
            self._note(wall, 'finite', f'linear {move}, angular {turn}')
            return
        place = np.zeros(3)
        if self._twists:
            last = self._twists[-1]
            place = last.position + last.linear * min(self._gap(stamp, last), HALTS)
        twist = Twist(wall, stamp, place, linear=move, angular=turn)
        self._twists.append(twist)
        self._keep(twist, heard)

    def restarted(self) -> None:
        """Say that commander or robot begin anew: the next command starts from rest."""
        super().restarted()
        self._twists.clear()

    def repeats_measured(self, sample: Sample) -> bool:
        """Say whether a command is zero velocity: it stops the arm, and holds it."""
        return isinstance(sample, Twist) and not sample.linear.any() and not sample.angular.any()

    def moved(self, sample: Sample, last: Sample | None) -> bool:
        """Say whether a command moves the arm, or is the first that no longer does."""
        return not self.repeats_measured(sample) or (
            last is None or not self.repeats_measured(last))

    def lead(self) -> float:
        """Return 0 at rest, else infinity: a velocity has no place of its own."""
        return 0.0 if self.commands and self.repeats_measured(self.commands[-1]) else np.inf

    def _gap(self, stamp: float, last: Sample) -> float:
        gap = stamp - last.stamp
        return gap if 0.0 <= gap <= LONGEST_GAP else self.numbers.period

    def _judge(self, sample: Sample, carried: bool) -> None:
        if not isinstance(sample, Twist):
            return
        last = self._last if isinstance(self._last, Twist) else None
        if carried and not self.repeats_measured(sample):
            self._note(sample.wall, 'carried', f'{sample.linear} m/s, {sample.angular} rad/s '
                       'while paused')
        gap = self.numbers.period if last is None else self._gap(sample.stamp, last)
        self._judge_rates(sample, last, gap)
        if last is not None:
            way = float(np.linalg.norm(sample.position - last.position))
            if way > self.numbers.step + NUMBER_ERROR:
                self._note(sample.wall, 'step', f'{1000 * way:.2f} mm until the next command, '
                           f'allowed {1000 * self.numbers.step:.1f}')
        outside = self._leads_outside(sample)
        if outside > NUMBER_ERROR:
            self._note(sample.wall, 'workspace', f'leads {1000 * outside:.2f} mm outside; '
                       f'{sample.linear} m/s')

    def _judge_rates(self, sample: Twist, last: Twist | None, gap: float) -> None:
        numbers, rest = self.numbers, np.zeros(3)
        for rule, unit, now, before, limit, acceleration in (
                ('speed', 'm/s', sample.linear, rest if last is None else last.linear,
                 numbers.speed, numbers.growth),
                ('turn', 'rad/s', sample.angular, rest if last is None else last.angular,
                 numbers.turn, numbers.turn_growth)):
            length = float(np.linalg.norm(now))
            if length > limit * (1.0 + SPEED_TOLERANCE) + RATE_ERROR:
                self._note(sample.wall, rule, f'{length:.4f} {unit}, allowed {limit:.4f}')
            grown = growth(Motion(1.0, now), Motion(1.0, before))
            allowed = acceleration * (gap + STAMP_ERROR) + 2.0 * RATE_ERROR
            if grown > allowed:
                self._note(sample.wall, f'{rule} growth', f'{grown:.4f} {unit} over '
                           f'{1000 * gap:.0f} ms, allowed {allowed:.4f}')

    def _leads_outside(self, sample: Twist) -> float:
        """Return by how much the arm would leave the box, [m], until the next command is due.

        What counts is where the robot itself says that it is, and of what it said within ``HOP``
        before the command the place from which that leads least far. An arm that is outside may
        come in, or stay.
        """
        if not sample.linear.any():
            return 0.0
        places: list[Sample] = []
        for one in reversed(self.truth):
            if one.wall <= sample.wall:
                if places and places[0].wall - one.wall > HOP:
                    break
                places.append(one)
        return min((self._outside_from(one, sample) for one in places
                    if sample.wall - one.wall <= LONGEST_GAP), default=0.0)

    def _outside_from(self, pose: Sample, sample: Twist) -> float:
        low = np.minimum(self.numbers.low, pose.position)
        high = np.maximum(self.numbers.high, pose.position)
        end = pose.position + sample.linear * self.numbers.period
        until = sample.wall
        for one in reversed(self._twists):
            if one.wall >= sample.wall:
                continue
            begin = max(one.wall, pose.wall)
            end = end + one.linear * max(min(until, one.wall + HALTS) - begin, 0.0)
            until = begin
            if one.wall <= pose.wall:
                break
        return float(np.maximum(low - end, end - high).max())
