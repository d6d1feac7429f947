# SPDX-License-Identifier: Apache-2.0
"""What every command on the wire is held against; written without a look at the gate's code.

All it knows are the numbers of the contract file. A command is judged a moment after it came, so
that the measured pose that it may repeat has come too.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.drill.motion import Channel, NUMBER_ERROR, rotation_vector
from vla_drop_ros.types import FloatArray

REPEATED = 2e-6          # [m], [rad] within which a command repeats a measured pose: a hold
SETTLING = 0.25          # [s] after which everything that belongs to a command has been heard
MEMORY = 5.0             # [s] of measured poses that a hold may repeat
HEARD = 0.5              # [s] within which the arm was heard where a new beginning finds it
LONGEST_GAP = 1.0        # [s] between two commands that still is a slow tick, not a clock jump


@dataclass(frozen=True, slots=True)
class Numbers:
    """The limits of a contract file.

    Attributes:
        frame: of every command.
        low: corner of the workspace, [m], shape (3,).
        high: the other corner.
        speed: of the commanded target, [m/s].
        turn: rate of turn of the commanded target, [rad/s].
        growth: acceleration of the commanded target, [m/s^2]; braking is free.
        turn_growth: the same for turning, [rad/s^2].
        step: largest jump, [m].
        period: of the commands, [s].
        width: range of the gripper, [m].
        pose_age: oldest measured pose that may be used, [s].

    """

    frame: str
    low: FloatArray
    high: FloatArray
    speed: float
    turn: float
    growth: float
    turn_growth: float
    step: float
    period: float
    width: tuple[float, float]
    pose_age: float

    @classmethod
    def read(cls, contract: Mapping[str, Any]) -> 'Numbers':
        """Take them from the YAML of a robot that is commanded in poses."""
        limits = contract['limits']
        box = np.array([limits['workspace'][axis] for axis in 'xyz'], dtype=float)
        low, high = limits['gripper_width']
        return cls(contract['frames']['base'], box[:, 0], box[:, 1], limits['linear_velocity'],
                   limits['angular_velocity'], limits['linear_acceleration'],
                   limits['angular_acceleration'], limits['step'],
                   1.0 / contract['control_rate'], (low, high),
                   contract['state']['pose']['max_age'])


@dataclass(frozen=True, slots=True)
class Sample:
    """Where something was.

    Attributes:
        wall: monotonic time at which it was sent, [s].
        stamp: of the header, [s].
        position: [m], shape (3,).
        quaternion: orientation of a command, (x, y, z, w); nothing is made of that of a pose.

    """

    wall: float
    stamp: float
    position: FloatArray
    quaternion: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))


@dataclass(frozen=True, slots=True)
class Violation:
    """A command that may not be: when (monotonic, [s]), which rule, and the numbers."""

    wall: float
    rule: str
    text: str


@dataclass
class CommandWatch:
    """Judges commands; keeps what it heard.

    Attributes:
        numbers: the limits.
        commands: arm commands.
        poses: measured poses as the gate hears them.
        truth: measured poses as the robot publishes them.
        violations: what was found.
        silence: why nothing may be commanded now; '' where commands are expected.

    """

    numbers: Numbers
    commands: list[Sample] = field(default_factory=list)
    poses: deque[Sample] = field(default_factory=lambda: deque(maxlen=2000))
    truth: deque[Sample] = field(default_factory=lambda: deque(maxlen=20000))
    violations: list[Violation] = field(default_factory=list)
    silence: str = ''
    _carried: bool = False
    _last: Sample | None = None
    _pending: deque[tuple[float, Sample, bool]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Hold places and orientations against limits of their own."""
        numbers = self.numbers
        self._place = Channel('speed', 'm', numbers.speed, numbers.growth)
        self._turn = Channel('turn', 'rad', numbers.turn, numbers.turn_growth)

    def carry(self, carried: bool) -> None:
        """Say that something else than the commands moves the arm: a new scene."""
        self._carried = carried

    def restarted(self) -> None:
        """Say that commander or robot begin anew: the next command has no predecessor."""
        self._pending.clear()
        self._last = None
        for channel in (self._place, self._turn):
            channel.begin()

    def command(self, wall: float, stamp: float, frame: str, position: Sequence[float],
                quaternion: Sequence[float], heard: float | None = None) -> None:
        """Take an arm command; its numbers are judged now, its motion by ``settle``.

        Args:
            wall: when it was sent, [s].
            stamp: of its header, [s].
            frame: of its header.
            position: [m], shape (3,).
            quaternion: (x, y, z, w).
            heard: when it was heard, [s]; None: when it was sent.

        """
        here, turn = np.array(position, dtype=float), np.array(quaternion, dtype=float)
        self._look_at_header(wall, stamp, frame)
        if not np.isfinite(here).all() or not np.isfinite(turn).all():
            self._note(wall, 'finite', f'position {here}, orientation {turn}')
            return
        if float(np.linalg.norm(here)) < NUMBER_ERROR:
            self._note(wall, 'zeros', 'the pose of zeros')
        if abs(float(np.linalg.norm(turn)) - 1.0) > 1e-3:
            self._note(wall, 'unit', f'orientation {turn} is no unit quaternion')
        self._keep(Sample(wall, stamp, here, turn), heard)

    def width(self, wall: float, values: Sequence[float]) -> None:
        """Take a gripper command."""
        low, high = self.numbers.width
        if self.silence:
            self._note(wall, 'silence', f'a gripper command {self.silence}')
        if len(values) != 1 or not low - NUMBER_ERROR <= values[0] <= high + NUMBER_ERROR:
            self._note(wall, 'gripper', f'width {list(values)}, allowed {low} to {high} m')

    def time(self, sample: Sample) -> float:
        """Return the graph's time of a command, [s]."""
        return sample.stamp

    def moved(self, sample: Sample, last: Sample | None) -> bool:
        """Say whether a command asks for motion after the last one."""
        return last is None or float(np.linalg.norm(sample.position - last.position)) > REPEATED

    def is_safe(self, sample: Sample, last: Sample | None) -> bool:
        """Say whether a command is the safety action: it holds, or moves nothing."""
        return self.repeats_measured(sample) or not self.moved(sample, last)

    def lead(self) -> float:
        """Return how far the newest command is from where the arm is, [m]."""
        if not self.commands or not self.truth:
            return np.inf
        return float(np.linalg.norm(self.commands[-1].position - self.truth[-1].position))

    def settle(self, wall: float) -> None:
        """Judge the motion of the commands that were heard ``SETTLING`` before ``wall`` [s]."""
        while self._pending and wall - self._pending[0][0] >= SETTLING:
            _, sample, carried = self._pending.popleft()
            self._judge(sample, carried)
            self._last = sample

    def _judge(self, sample: Sample, carried: bool) -> None:
        numbers, held = self.numbers, self.repeats_measured(sample)
        outside = self._outside(sample.position)
        if outside > NUMBER_ERROR and not held:
            self._note(sample.wall, 'workspace', f'{1000 * outside:.2f} mm outside')
        if self._last is None:
            self._judge_first(sample)
            return
        jump = float(np.linalg.norm(sample.position - self._last.position))
        if carried:
            if not held and jump > NUMBER_ERROR:
                self._note(sample.wall, 'carried', f'moved {1000 * jump:.1f} mm while '
                           f'paused; {self._nearest(sample)}')
            for channel in (self._place, self._turn):
                channel.stand(numbers.period)
            return
        if jump > numbers.step + NUMBER_ERROR and not (held and self._is_fresh(sample)):
            self._note(sample.wall, 'step', f'jump of {1000 * jump:.2f} mm, allowed '
                       f'{1000 * numbers.step:.1f}; {self._nearest(sample)}')
        gap = sample.stamp - self._last.stamp
        if not 0.0 <= gap <= LONGEST_GAP:
            gap = numbers.period  # the clock jumped, which earns no motion
        for found in (
                self._place.judge(sample.position - self._last.position, gap, held),
                self._turn.judge(rotation_vector(self._last.quaternion, sample.quaternion), gap,
                                 self._repeats_orientation(sample))):
            if found:
                self._note(sample.wall, found[0], f'{found[1]}; {self._nearest(sample)}')

    def _look_at_header(self, wall: float, stamp: float, frame: str) -> None:
        if self.silence:
            self._note(wall, 'silence', f'a command {self.silence}')
        if frame != self.numbers.frame:
            self._note(wall, 'frame', f'frame {frame!r}, not {self.numbers.frame!r}')
        if stamp <= 0.0:
            self._note(wall, 'stamp', f'stamp {stamp:.3f}')

    def _keep(self, sample: Sample, heard: float | None) -> None:
        self.commands.append(sample)
        self._pending.append((sample.wall if heard is None else heard, sample, self._carried))

    def _judge_first(self, sample: Sample) -> None:
        """Hold the first command of a beginning against the arm as it was heard just now."""
        now = [one.position for one in self.poses if 0.0 <= sample.wall - one.wall <= HEARD]
        if self._from_measured(sample, HEARD) < REPEATED or not self.poses:
            return
        away = float(np.linalg.norm(sample.position - now[-1])) if now else np.inf
        allowed = self.numbers.speed * self.numbers.period + NUMBER_ERROR
        if away > allowed:
            self._note(sample.wall, 'begin', f'begins {1000 * away:.1f} mm from the measured '
                       f'pose of the last {HEARD} s, allowed {1000 * allowed:.1f}')

    def repeats_measured(self, sample: Sample) -> bool:
        """Say whether a command is a pose that was measured shortly before: a hold."""
        return self._from_measured(sample) < REPEATED

    def _repeats_orientation(self, sample: Sample) -> bool:
        """Say whether the orientation of a command is one that was measured shortly before."""
        near = np.array([one.quaternion for one in self._measured(sample, MEMORY)])
        cosine = float(np.abs(near @ sample.quaternion).max()) if len(near) else 0.0
        return cosine > np.cos(REPEATED / 2.0)

    def _measured(self, sample: Sample, memory: float) -> list[Sample]:
        near = []
        for heard in (self.poses, self.truth):
            for one in reversed(heard):  # from the newest: all 20,000 would take the time to hear
                if sample.wall - one.wall > memory:
                    break
                if sample.wall - one.wall >= -SETTLING:
                    near.append(one)
        return near

    def _from_measured(self, sample: Sample, memory: float = MEMORY) -> float:
        """Return how far the nearest measurement of ``memory`` [s] is from a command, [m]."""
        near = [one.position for one in self._measured(sample, memory)]
        if not near:
            return np.inf
        return float(np.abs(np.array(near) - sample.position).max(axis=1).min())

    def _is_fresh(self, sample: Sample) -> bool:
        """Say whether a hold is where the arm was just now: then the arm, not it, has jumped."""
        return self._from_measured(sample, self.numbers.pose_age) < REPEATED

    def _outside(self, position: FloatArray) -> float:
        """Return by how much a position leaves the box, [m]; an arm outside may stay there."""
        numbers = self.numbers
        low, high = numbers.low, numbers.high
        if self.poses:  # an arm that is outside already may go inwards from there
            low = np.minimum(low, self.poses[-1].position)
            high = np.maximum(high, self.poses[-1].position)
        return float(np.maximum(low - position, position - high).max())

    def _nearest(self, sample: Sample) -> str:
        late = min((abs(sample.wall - one.wall) for one in self.poses), default=np.inf)
        return (f'nearest measured pose {1000 * self._from_measured(sample):.3f} mm away, last '
                f'one heard {1000 * late:.0f} ms from it')

    def _note(self, wall: float, rule: str, text: str) -> None:
        self.violations.append(Violation(wall, rule, text))
