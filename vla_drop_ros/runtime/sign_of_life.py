# SPDX-License-Identifier: Apache-2.0
"""When the policy was last known to make progress: what its heartbeat says.

A heartbeat that only proves that a process runs hides what matters: an inference that hangs, a
camera that died, an exception in every inference. This one carries the last instant at which all
was well, so that every one of them looks like a dead process: a stamp that ages.
"""

import threading

HEARTBEAT_PERIOD = 0.05
"""Time between two heartbeats, [s]."""


class SignOfLife:
    """Keeps when the trouble began, if there is any. May be called from several threads."""

    def __init__(self) -> None:
        """Begin without trouble."""
        self._lock = threading.Lock()
        self._submitted: float | None = None
        self._failing: float | None = None
        self._blind: float | None = None

    def submitted(self, now: float) -> None:
        """An inference was handed over at ``now`` [s]; there is one at a time."""
        with self._lock:
            self._submitted = now

    def answered(self) -> None:
        """The inference gave a chunk that can be executed."""
        with self._lock:
            self._submitted = self._failing = None

    def failed(self) -> None:
        """The inference gave nothing that can be executed; the trouble began with its start."""
        with self._lock:
            if self._failing is None:
                self._failing = self._submitted
            self._submitted = None

    def stamp(self, now: float, wanted: bool, blind: bool) -> float:
        """Return the last instant at which the policy made progress, at most ``now`` [s].

        Args:
            now: node clock, [s].
            wanted: whether anything is asked of the policy. Who is asked nothing owes nothing;
                an inference that hangs is not forgiven by that, it counts again when the next
                instruction comes.
            blind: whether there is no observation at ``now``.

        """
        with self._lock:
            if not wanted:
                self._blind = self._failing = None
                return now
            if not blind:
                self._blind = None
            elif self._blind is None:
                self._blind = now
            began = (self._submitted, self._failing, self._blind)
            return min([now, *(time for time in began if time is not None)])
