# SPDX-License-Identifier: Apache-2.0
"""How well a stream arrives: its rate, what got lost on the way, and cameras that only seem alive.

Everything is read from header stamps, so that a recording tells the same as the live robot.

When a camera counts as frozen. An arm must not stop because a simulated scene without noise
stands still, nor go on because a driver sends its last frame for ever under fresh stamps. So all
of this must hold:

- every byte is the same in at least ``FROZEN_FRAMES`` images in a row, for longer than the
  camera's max_age; noise of a real sensor never allows that;
- meanwhile the robot has measurably got ``FROZEN_TRAVEL`` or ``FROZEN_TURN`` away from where it
  was at the first of these images;
- the camera must see motion: it has shown a change since configuration, or it is one of a real
  robot (interlock ``enable`` in the contract), whose sensor has noise. A simulated camera that
  has looked at a wall from the beginning is left alone.

A camera that is late because the same stamp comes again and again is called frozen, too.
"""

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from vla_drop_ros.runtime.pose import SET_BACK
from vla_drop_ros.types import FloatArray

FROZEN_FRAMES = 3
FROZEN_TRAVEL = 0.10
"""Way of the end effector that a camera has to notice, [m]; eight pixels of a picture 80 wide."""
FROZEN_TURN = 0.5
"""The same without a measured pose: change of the commanded joints, Euclidean, [rad or m]."""
SAMPLES = 4096
GAPS_KEPT = 32
GAPS_NEEDED = 16
"""Gaps that are seen before the period is known."""
RATE_WINDOW = 5.0
LOSS_WINDOW = 10.0
"""Time after which a lost message is forgotten, [s]."""
LOSS_LIMIT = 0.05
"""Share of lost messages that is too much."""
PHASE_GAIN, PERIOD_GAIN = 0.2, 0.02


class StreamHealth:
    """Counts what the header stamps of one stream tell.

    A message is lost when the stamps leave out a place in the grid of the learned period. The
    grid follows the stamps slowly, so that jitter is no loss: exact where messages are up to a
    fifth of a period off their places, a guess beyond a quarter. Losses are counted once the
    period is known; a new rate is learned within ``GAPS_KEPT`` messages.

    Attributes:
        newest: newest stamp, [s]; None before the first.
        period: usual time between messages, [s]; None until it is known.
        lost: messages that were never seen.
        repeated: messages with the stamp of the newest.
        backward: messages with an older stamp than the newest.
        zero: messages without a stamp.
        repeats: how often the newest stamp has come again, in a row.
        is_zero: whether the last message had no stamp.
        is_set_back: whether the last message was the first one after the clock was set back.

    """

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self.newest: float | None = None
        self.period: float | None = None
        self.lost = self.repeated = self.backward = self.zero = self.repeats = 0
        self.is_zero = self.is_set_back = False
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._stamps: deque[float] = deque()
        self._losses: deque[tuple[float, int]] = deque()  # stamp, and how many were lost by then
        self._unlearned = 0
        self._place = 0.0
        self._extra = self._left_out = False

    def add(self, stamp: float) -> None:
        """Take the stamp of a message, [s]."""
        last = self.newest
        self.is_zero = stamp == 0.0
        self.is_set_back = last is not None and not self.is_zero and stamp < last - SET_BACK
        if self.is_zero:
            self.zero += 1
        elif last is None or self.is_set_back:
            self.backward += self.is_set_back
            self._begin(stamp)
        elif stamp == last:
            self.repeated += 1
            self.repeats += 1
        elif stamp < last:
            self.backward += 1
        else:
            self._count(stamp)
            self._learn(stamp, stamp - last)
            self._note(stamp)

    def rate(self, now: float) -> float:
        """Return messages a second over the last ``RATE_WINDOW`` seconds before ``now``, [Hz]."""
        recent = [stamp for stamp in self._stamps if stamp >= now - RATE_WINDOW]
        span = recent[-1] - recent[0] if recent else 0.0
        return (len(recent) - 1) / span if span > 0.0 else 0.0

    def share_lost(self, now: float) -> float:
        """Return the share of messages lost in the ``LOSS_WINDOW`` before ``now`` [s], 0 .. 1."""
        recent = [lost for stamp, lost in self._losses if stamp >= now - LOSS_WINDOW]
        lost = max(0, recent[-1] - recent[0]) if recent else 0
        return lost / (lost + len(recent) - 1) if lost else 0.0

    def values(self, name: str, now: float, latency: float = 0.0) -> dict[str, str]:
        """Return what to show of the stream; latency [s] is how old its messages are when stamped.

        A negative age is a stamp in the future; the age is empty before the first message.
        """
        age = '' if self.newest is None else f'{1000 * (now - self.newest + latency):.0f}'
        return {f'{name} rate [Hz]': f'{self.rate(now):.1f}', f'{name} age [ms]': age,
                f'{name} lost': str(self.lost), f'{name} repeated stamps': str(self.repeated),
                f'{name} backward stamps': str(self.backward),
                f'{name} zero stamps': str(self.zero)}

    def _begin(self, stamp: float) -> None:
        """Start anew from a stamp: the first one, or one after the clock was set back."""
        self._gaps.clear()
        self._stamps.clear()
        self._losses.clear()
        self.period, self._unlearned = None, 0
        self._note(stamp)

    def _note(self, stamp: float) -> None:
        self.newest, self.repeats = stamp, 0
        self._stamps.append(stamp)
        if self.period is not None:  # before, no loss is seen
            self._losses.append((stamp, self.lost))
        while self._losses and self._losses[0][0] < stamp - LOSS_WINDOW:
            self._losses.popleft()
        while self._stamps[0] < stamp - RATE_WINDOW:
            self._stamps.popleft()

    def _count(self, stamp: float) -> None:
        """Find the place of a stamp in the grid, and count the empty ones before it."""
        if self.period is None:
            return
        steps = round((stamp - self._place) / self.period)
        if steps < 1:  # two messages at one place: the one before was late, or this one is early
            self.lost -= self._left_out
            self._extra, self._left_out = not self._left_out, False
            return
        left_out = max(0, steps - 1 - self._extra)
        self.lost += left_out
        self._extra, self._left_out = False, left_out > 0
        error = stamp - self._place - steps * self.period
        self._place += steps * self.period + PHASE_GAIN * error
        self.period += PERIOD_GAIN * error

    def _learn(self, stamp: float, gap: float) -> None:
        """Find the period at first, and when the usual gap is far from it."""
        self._gaps.append(gap)
        self._unlearned += 1
        if self._unlearned < GAPS_NEEDED:
            return
        self._unlearned = 0
        usual = sorted(self._gaps)[len(self._gaps) // 2]
        if self.period is None or not 0.67 < usual / self.period < 1.5:
            self.period, off = grid_of(self._gaps)
            self._place, self._extra, self._left_out = stamp - off, False, False


def grid_of(gaps: Collection[float]) -> tuple[float, float]:
    """Return the period of the grid on which messages with these gaps lie best, [s].

    The second value is how far the last message lies behind its place in it, [s].

    Gaps may be several periods long, and messages may be off their places: of the rates around
    the usual one, the slowest is taken at which the phases of the stamps agree best.
    """
    stamps, usual = np.cumsum([0.0, *gaps]), float(np.median(list(gaps)))
    rates = np.arange(0.6 / usual, 3.0 / usual, 0.125 / stamps[-1])
    phases = np.exp(2j * np.pi * np.outer(rates, stamps))
    agreement = np.abs(phases.mean(axis=1))
    peak = int(np.argmax(agreement >= 0.9 * agreement.max()))
    peak += int(np.argmax(agreement[peak:peak + 8]))  # the first rate on a slope is not its top
    off = np.angle(phases[peak, -1] / phases[peak].mean()) / (2.0 * np.pi)
    return float(1.0 / rates[peak]), float(off / rates[peak])


class LastBytes:
    """Tells a buffer that is the one before, byte for byte; cheap where it is not."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._buffer: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        self._sample: np.ndarray[Any, np.dtype[np.uint8]] | None = None

    def same(self, data: Any) -> bool:
        """Return whether ``data`` is equal to what was given before; keeps a reference to it.

        A sample of the bytes is looked at first: with noise it always differs.
        """
        buffer = np.frombuffer(data, dtype=np.uint8)
        stride = max(1, buffer.size // SAMPLES)
        while stride > 1 and (stride % 2 == 0 or stride % 3 == 0):
            stride += 1  # so that all channels are sampled
        sample = buffer[::stride].copy()
        last, sampled, self._buffer, self._sample = self._buffer, self._sample, buffer, sample
        if last is None or sampled is None or last.size != buffer.size:
            return False
        words = buffer.size // 8 * 8  # eight bytes at a time are compared faster
        return bool(np.array_equal(sampled, sample)
                    and np.array_equal(last[:words].view('u8'), buffer[:words].view('u8'))
                    and np.array_equal(last[words:], buffer[words:]))


class CameraWatch:
    """Knows a camera that stands still, or has changed its size or encoding.

    Attributes:
        form: size and encoding of the newest image; '' before the first.
        first_form: those of the first image since configuration.
        changed: whether two images in a row have ever differed.
        since: stamp of the first of the images that are all the same, [s].
        until: stamp of the last one.
        frames: how many there are.
        travel: how far the robot has been from where it was at ``since``; unit of the place.

    """

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self.form = self.first_form = ''
        self.changed = False
        self.begin()

    def begin(self) -> None:
        """Forget since when the images are the same: the clock was set back."""
        self.since = self.until = self.travel = 0.0
        self.frames = 0
        self._start: FloatArray | None = None

    @property
    def is_resized(self) -> bool:
        """Say whether the newest image is unlike the first."""
        return self.form != self.first_form

    def add(self, stamp: float, form: str, unchanged: bool) -> None:
        """Take an image: stamp [s], form ('' when unknown), whether it is the last one again."""
        if form:
            self.form, self.first_form = form, self.first_form or form
        if unchanged and self.frames:
            self.until = max(self.until, stamp)
            self.frames += 1
            return
        self.changed = self.changed or self.frames > 0
        self.since = self.until = stamp
        self.frames, self.travel, self._start = 1, 0.0, None

    def follow(self, place_at: Callable[[float], FloatArray | None]) -> None:
        """Note how far the robot has got while the images stayed the same.

        Args:
            place_at: tells where the robot was at a stamp [s]; None when that is not known.

        """
        here = place_at(self.until) if self.frames > 1 else None
        if here is None:
            return
        if self._start is None:
            start = place_at(self.since)
            self._start = here if start is None else start
        self.travel = max(self.travel, float(np.linalg.norm(here - self._start)))

    def is_frozen(self, max_age: float, travel: float, must_see: bool) -> bool:
        """Say whether the camera only seems alive.

        Args:
            max_age: how long the picture may stay the same while the robot moves, [s].
            travel: how far the robot may get meanwhile, unit of the place.
            must_see: whether it must see motion although it has never shown any.

        """
        return (self.frames >= FROZEN_FRAMES and self.until - self.since > max_age
                and self.travel > travel and (self.changed or must_see))
