# SPDX-License-Identifier: Apache-2.0
"""Reports hostile requests, without letting them fill the disk."""

from collections.abc import Callable
import threading

BURST = 20  # reports at once
PERIOD = 5.0  # [s] until one more is allowed
LONGEST = 200  # characters

Report = Callable[[str, str], None]


class Hostility:
    """Hands on the first reports, then one every few seconds with the number left out."""

    def __init__(self, report: Report, clock: Callable[[], float]) -> None:
        """Take who writes them down, and a monotonic clock, [s]."""
        self._report = report
        self._clock = clock
        self._allowed, self._last, self._left_out = float(BURST), clock(), 0
        self._lock = threading.Lock()

    def report(self, what: str, address: str) -> bool:
        """Report a request, or count it; return whether it was reported.

        Args:
            what: why it was turned away; made printable and short here.
            address: where it came from.

        """
        with self._lock:
            now = self._clock()
            self._allowed = min(BURST, self._allowed + (now - self._last) / PERIOD)
            self._last = now
            if self._allowed < 1.0:
                self._left_out += 1
                return False
            self._allowed -= 1.0
            left_out, self._left_out = self._left_out, 0
        text = what.encode('ascii', 'backslashreplace').decode()[:LONGEST]
        text = ''.join(one if one.isprintable() else '?' for one in text)
        self._report(f'{text} (and {left_out} before it)' if left_out else text, address)
        return True
