# SPDX-License-Identifier: Apache-2.0
"""Whether the node clock was set: then no time of the running trial means anything.

System clocks are set by people and by time servers, simulated ones begin anew. How fast a clock
goes is not known beforehand (a simulator may be many times faster than real time): it is learnt.
"""

import math

BACK = 0.5     # [s] by which a clock may go back: stamps cross on their way
AHEAD = 1.0    # [s] by which it may be ahead of what its rate lets expect
UNEVEN = 3.0   # times the rate seen so far: simulators pause and hurry
MEMORY = 2.0   # [s] over which the rate is learnt


class ClockJump:
    """Compares a clock with one that cannot be set; both are read again and again."""

    def __init__(self) -> None:
        """Know nothing yet: the first reading is no jump."""
        self._now = self._steady = math.nan
        self._rate, self._behind = 1.0, 0.0

    def read(self, now: float, steady: float) -> float:
        """Take a reading; return by how much the clock was set since the one before, [s].

        Args:
            now: node clock, [s].
            steady: a clock that never stops, [s].

        Returns:
            0.0 as long as it goes on by itself.

        """
        advance, passed = now - self._now, steady - self._steady
        self._now, self._steady = now, steady
        if not passed > 0.0 or math.isnan(advance):
            return 0.0
        fastest = UNEVEN * max(self._rate, 1.0)
        was_set = not -BACK <= advance <= AHEAD + fastest * passed + self._behind
        # A process that stood still reads the old simulated time once more, then all that passed.
        self._behind = max(0.0, self._behind + self._rate * passed - advance)
        seen = min(max(advance, 0.0) / passed, 2.0 * fastest)  # a jump teaches little
        self._rate += min(passed / MEMORY, 1.0) * (seen - self._rate)
        return advance if was_set else 0.0
