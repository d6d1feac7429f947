# SPDX-License-Identifier: Apache-2.0
"""Frames at a fixed rate out of what was seen; where one is missing, an episode ends."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from vla_drop_ros.dataset.replay import Fault, Seen

NO_IMAGES = 'no image of every camera near that time'
ROUNDING = 1e-6  # [s], of stamps as float


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an episode.

    Attributes:
        seen: what was seen nearest to the instant of the grid.
        end: capture time of the next frame, or one period later for the last, [s].
        first: whether an episode begins with it.

    """

    seen: Seen
    end: float
    first: bool


class FrameGrid:
    """Picks frames at instants a period apart, counted from the first frame of each episode.

    For each instant the nearest capture within half a period is taken, none twice. Without one
    the episode ends, and the next begins at the next capture; a new instruction does the same.

    Attributes:
        left_out: reason -> instants of the grid without a frame.

    """

    def __init__(self, period: float) -> None:
        """Pick a frame every ``period`` seconds."""
        self.left_out: Counter[str] = Counter()
        self._period = period
        self._faults: list[Fault] = []
        self._begin, self._index = 0.0, 0
        self._taken: Seen | None = None      # the newest frame, not yet yielded
        self._candidate: Seen | None = None  # the newest capture before the instant that is due

    def pick(self, captures: Iterable[Seen], trailing: Sequence[Fault] = ()) -> Iterator[Frame]:
        """Yield the frames of captures in order of their stamps.

        Args:
            captures: what was seen.
            trailing: read at the end: what went wrong after the last of them.

        """
        for seen in captures:
            self._faults += seen.faults
            yield from self._offer(seen)
        yield from self._end()
        self._faults += trailing
        if self._faults:
            self._miss(self._faults[-1][0])

    def _offer(self, seen: Seen) -> Iterator[Frame]:
        if self._taken is None or seen.instruction != self._taken.instruction:
            yield from self._end()
            if self._faults:
                self._miss(seen.stamp)
            self._restart(seen)
            return
        while seen.stamp >= self._due - ROUNDING:
            near = [one for one in (self._candidate, seen) if one and self._is_near(one)]
            if not near:
                yield from self._end()
                self._miss(seen.stamp)
                self._restart(seen)
                return
            best = min(near, key=lambda one: abs(one.stamp - self._due))
            yield from self._take(best)
            if best is seen:
                return
        self._candidate = seen

    @property
    def _due(self) -> float:
        """The instant of the grid that is looked for, [s]."""
        return self._begin + self._index * self._period

    def _is_near(self, seen: Seen) -> bool:
        return abs(seen.stamp - self._due) <= 0.5 * self._period + ROUNDING

    def _restart(self, seen: Seen) -> None:
        self._begin, self._index = seen.stamp, 1
        self._taken, self._candidate = seen, None
        self._faults.clear()

    def _take(self, seen: Seen) -> Iterator[Frame]:
        assert self._taken is not None
        yield Frame(self._taken, seen.stamp, self._index == 1)
        self._taken, self._candidate = seen, None
        self._index += 1
        self._faults.clear()

    def _end(self) -> Iterator[Frame]:
        """Yield what is left of an episode."""
        if self._candidate is not None and self._is_near(self._candidate):
            yield from self._take(self._candidate)
        if self._taken is not None:
            yield Frame(self._taken, self._taken.stamp + self._period, self._index == 1)
        self._candidate = None

    def _miss(self, until: float) -> None:
        """Count the instants without a frame before ``until`` [s], each by what went wrong."""
        due = self._due if self._taken is not None else self._faults[0][0]
        while due < until - 0.5 * self._period:
            self.left_out[next((why for at, why in self._faults if at >= due),
                               self._faults[-1][1] if self._faults else NO_IMAGES)] += 1
            due += self._period
