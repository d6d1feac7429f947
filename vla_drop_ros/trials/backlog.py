# SPDX-License-Identifier: Apache-2.0
"""What a full disk has held up on its way into the log: nothing that was measured is lost."""

from collections import deque
from collections.abc import Callable

from vla_drop_ros.errors import TrialError

MOST = 1000  # that wait; a detector may say the same all day long
Write = Callable[[], object]


class Backlog:
    """Writes, and tries again now and then what could not be written, in its order.

    Attributes:
        steady: time now, on a clock that never stops, [s].

    """

    def __init__(self, again: float, tell: Callable[[str], None]) -> None:
        """Begin with nothing held up.

        Args:
            again: time between a failure and the next attempt, [s].
            tell: takes what people must mend.

        """
        self.steady = self._not_before = float('-inf')
        self._again, self._tell = again, tell
        self._held_up: deque[Write] = deque()

    @property
    def due(self) -> bool:
        """Say whether it is time to try again."""
        return self.steady >= self._not_before

    def attempt(self, write: Write) -> bool:
        """Write; return whether it could be done."""
        try:
            write()
        except TrialError as error:
            self._tell(str(error))
            self._not_before = self.steady + self._again
            return False
        return True

    def keep(self, write: Write) -> None:
        """Write now, or when there is room again; of what waits already at most ``MOST``."""
        if (self._held_up or not self.attempt(write)) and len(self._held_up) < MOST:
            self._held_up.append(write)

    def work(self) -> bool:
        """Write the first of what was held up; return whether it could be done."""
        done = bool(self._held_up) and self.attempt(self._held_up[0])
        if done:
            self._held_up.popleft()
        return done
