# SPDX-License-Identifier: Apache-2.0
"""What every joint trajectory on the wire is held against, without a look at the gate's code.

Such a command has no stamp: "start at once". Its time is that of the graph's clock when it was put
on the wire, which the gate may have read ``CLOCK`` before. So motion is judged over spans that are
long beside that: over one command the speed is known to a factor only, over half a second well.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.drill.motion import NUMBER_ERROR, SPEED_TOLERANCE
from bench.drill.watch import CommandWatch, HEARD, LONGEST_GAP, Numbers, REPEATED, Sample
from vla_drop_ros.types import FloatArray

CLOCK = 0.04           # [s] between the gate's look at the clock and the wire: two of its steps
SPAN = 0.2             # [s] over which a velocity is taken
SPANS = 0.5            # [s] over which speed is judged
TIME_ERROR = 1e-6      # [s]: whole nanoseconds
Point = tuple[float, Sequence[float]]


@dataclass(frozen=True, slots=True)
class JointNumbers(Numbers):
    """The limits of a contract file; what ``Numbers`` says of places holds for joints, in rad.

    Attributes:
        names: of the joints, in the order of all that follows.
        velocities: [rad/s], shape (joints,).
        accelerations: [rad/s^2]; braking is free.
        steps: largest jumps, [rad].
        lead: time of the point of a trajectory, [s].

    """

    names: tuple[str, ...]
    velocities: FloatArray
    accelerations: FloatArray
    steps: FloatArray
    lead: float

    @classmethod
    def read(cls, contract: Mapping[str, Any]) -> 'JointNumbers':
        """Take them from the YAML of a robot that is commanded in joints."""
        limits = contract['limits']['joints']
        positions = np.array([one['position'] for one in limits.values()], dtype=float)
        velocities, accelerations, steps = (
            np.array([one[key] for one in limits.values()], dtype=float)
            for key in ('velocity', 'acceleration', 'step'))
        low, high = contract['limits']['gripper_width']
        return cls(
            '', positions[:, 0], positions[:, 1], float(np.linalg.norm(velocities)), np.inf,
            float(np.linalg.norm(accelerations)), np.inf, float(np.linalg.norm(steps)),
            1.0 / contract['control_rate'], (low, high), contract['state']['joints']['max_age'],
            tuple(limits), velocities, accelerations, steps, contract['command']['lead'])


@dataclass
class JointWatch(CommandWatch):
    """Judges joint trajectories; keeps what it heard (``CommandWatch``), positions in [rad].

    Attributes:
        node_time: returns the graph's time at a wall time, both [s].

    """

    numbers: JointNumbers
    node_time: Callable[[float], float] = lambda wall: wall
    _path: deque[tuple[float, FloatArray]] = field(default_factory=lambda: deque(maxlen=200))

    def trajectory(self, wall: float, stamp: float, names: Sequence[str],
                   points: Sequence[Point], heard: float | None = None) -> None:
        """Take an arm command; its numbers are judged now, its motion by ``settle``.

        Args:
            wall: when it was sent, [s].
            stamp: of its header, [s].
            names: of the joints.
            points: time from the start, [s], and positions, [rad].
            heard: when it was heard, [s]; None: when it was sent.

        """
        numbers = self.numbers
        if self.silence:
            self._note(wall, 'silence', f'a command {self.silence}')
        if stamp != 0.0:
            self._note(wall, 'stamp', f'stamp {stamp:.3f}: a controller may drop it')
        if sorted(names) != sorted(numbers.names) or [len(one) for _, one in points] != [
                len(names)]:
            self._note(wall, 'form', f'joints {list(names)}, {len(points)} points')
            return
        time, positions = points[0]
        order = [list(names).index(name) for name in numbers.names]
        here = np.array(positions, dtype=float)[order]
        if not abs(time - numbers.lead) <= TIME_ERROR:
            self._note(wall, 'lead', f'to be reached in {time:.3f} s, not {numbers.lead:.3f}')
        if not np.isfinite(here).all():
            self._note(wall, 'finite', f'positions {here}')
            return
        self._keep(Sample(wall, 0.0, here), heard)

    def restarted(self) -> None:
        """Say that commander or robot begin anew: the next command has no predecessor."""
        super().restarted()
        self._path.clear()

    def time(self, sample: Sample) -> float:
        """Return the graph's time of a command, [s]."""
        return self.node_time(sample.wall)

    def _judge(self, sample: Sample, carried: bool) -> None:
        numbers, held = self.numbers, self.repeats_measured(sample)
        outside = self._outside(sample.position)
        if outside > NUMBER_ERROR and not held:
            self._note(sample.wall, 'range', f'{outside:.4f} rad outside')
        last, now = self._last, self.time(sample)
        if last is None:
            self._begin(sample)
        else:
            jump = np.abs(sample.position - last.position)
            if carried and not held and jump.max() > NUMBER_ERROR:
                self._note(sample.wall, 'carried', f'moved {jump.max():.4f} rad while paused')
            if (jump > numbers.steps + NUMBER_ERROR).any() and not (
                    held and (carried or self._is_fresh(sample))):
                self._note(sample.wall, 'step', f'jump of {jump.max():.4f} rad')
        if last is None or held or carried:
            self._rest(now, sample.position)
            return
        if not 0.0 <= now - self._path[-1][0] <= LONGEST_GAP:  # the clock jumped
            self._rest(now - numbers.period, last.position)
        self._path.append((now, sample.position))
        self._judge_speed(sample)
        self._judge_growth(sample)

    def _begin(self, sample: Sample) -> None:
        """Hold the first command of a beginning against the arm as it was heard just now."""
        now = [one.position for one in self.poses if 0.0 <= sample.wall - one.wall <= HEARD]
        if not self.poses or self._from_measured(sample, HEARD) < REPEATED:
            return
        away = np.abs(sample.position - now[-1]) if now else np.full(1, np.inf)
        if (away > self.numbers.velocities * self.numbers.period + NUMBER_ERROR).any():
            self._note(sample.wall, 'begin', f'begins {away.max():.4f} rad from the arm')

    def _rest(self, now: float, position: FloatArray) -> None:
        """Let the path begin anew with an arm that has stood still."""
        self._path.clear()
        self._path.extend([(now - SPAN, position), (now, position)])

    def _judge_speed(self, sample: Sample) -> None:
        now, here = self._path[-1]
        limits = self.numbers.velocities * (1.0 + SPEED_TOLERANCE)
        for time, place in list(self._path)[-2::-1]:
            if now - time > SPANS:
                break
            excess = np.abs(here - place) - limits * (now - time + CLOCK) - NUMBER_ERROR
            if excess.max() > 0.0:
                joint = int(excess.argmax())
                self._note(sample.wall, 'speed', f'{self.numbers.names[joint]}: '
                           f'{abs(here - place)[joint]:.4f} rad in {1000 * (now - time):.0f} ms')
                return

    def _judge_growth(self, sample: Sample) -> None:
        """Compare two spans: what was gone in each direction, by what it may have grown."""
        path = list(self._path)
        middle = _latest(path, path[-1][0] - SPAN)
        first = None if middle is None else _latest(path[:middle + 1], path[middle][0] - SPAN)
        if middle is None or first is None:
            return
        spans = path[middle][0] - path[first][0], path[-1][0] - path[middle][0]
        for sign in (1.0, -1.0):
            before, now = (
                np.maximum(sign * np.diff([place for _, place in part], axis=0), 0.0).sum(axis=0)
                / span for part, span in zip((path[first:middle + 1], path[middle:]), spans,
                                             strict=True))
            unknown = CLOCK * (before / spans[0] + now / spans[1])
            excess = (now - before - unknown
                      - self.numbers.accelerations * (sum(spans) / 2.0 + CLOCK))
            if excess.max() > 0.0:
                joint = int(excess.argmax())
                self._note(sample.wall, 'speed growth', f'{self.numbers.names[joint]}: from '
                           f'{before[joint]:.3f} to {now[joint]:.3f} rad/s in '
                           f'{500 * sum(spans):.0f} ms')
                return


def _latest(path: Sequence[tuple[float, FloatArray]], time: float) -> int | None:
    """Return the index of the last point at ``time`` [s] or before."""
    return next((i for i in range(len(path) - 1, -1, -1) if path[i][0] <= time + TIME_ERROR),
                None)
