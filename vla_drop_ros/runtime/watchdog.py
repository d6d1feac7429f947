# SPDX-License-Identifier: Apache-2.0
"""Ages from header stamps: what is missing, late, or from another clock, in words.

In every reason, what changes from moment to moment stands in parentheses; ``kind`` cuts it off.
"""

CLOCK_TOLERANCE = 0.1
"""How far ahead of the node's clock a stamp may lie, [s]."""
CLOCK_STANDS = ('the clock stands still (use_sim_time is true and nobody advances /clock: start '
                'the simulator, or set use_sim_time to false)')


def kind(reason: str) -> str:
    """Return the part of a reason that stays the same while the fault lasts."""
    return reason.split(' (')[0]


def stream_fault(name: str, stamp: float | None, now: float, max_age: float) -> str | None:
    """Return why a stream cannot be used at ``now``, or None when it can.

    Args:
        name: what the operator calls it.
        stamp: newest header stamp, [s]; None before the first message.
        now: node clock, [s].
        max_age: oldest age still used, [s].

    """
    if stamp is None:
        return f'{name} never received'
    age = now - stamp
    if not age <= max_age:  # NaN is too old, too
        return f'{name} too old ({age:.2f} s, limit {max_age:.2f} s)'
    if age < -CLOCK_TOLERANCE:
        return (f'{name} stamped in the future: sender and receiver use different clocks '
                f'({-age:.2f} s; check use_sim_time and time synchronisation)')
    return None


class ClockWatch:
    """Notices a node clock that stands still: use_sim_time without anyone on /clock."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._last: float | None = None

    def fault(self, now: float) -> str:
        """Return why time cannot be trusted, or ''; ask about once a second of real time."""
        stands, self._last = now == self._last, now
        return CLOCK_STANDS if stands else ''


class DeadMan:
    """Fires when no usable chunk has covered the present for a time, or the last one is old."""

    def __init__(self, timeout: float, max_chunk_age: float = 0.0) -> None:
        """Take the contract's ``dead_man`` and ``max_chunk_age``, [s]; 0: however old it is."""
        self._timeout = timeout
        self._max_chunk_age = max_chunk_age

    def fault(self, stamp: float | None, end: float | None, now: float) -> str | None:
        """Return why nothing may be executed at ``now``, or None.

        Args:
            stamp: capture time of the chunk in force, [s]; None without a chunk.
            end: when it runs out, [s]. Its last pose stands still for the dead-man time after
                that, then the fault action runs; after its largest age it does so at once.
            now: node clock, [s].

        """
        if stamp is None or end is None:
            return 'no action chunk'
        if 0.0 < self._max_chunk_age < now - stamp:
            return (f'no newer chunk ({now - stamp:.2f} s since its images, max_chunk_age '
                    f'{self._max_chunk_age:.2f} s)')
        if now - end > self._timeout:
            return f'no usable chunk ({now - end:.2f} s, dead_man {self._timeout:.2f} s)'
        return None
