# SPDX-License-Identifier: Apache-2.0
"""When the person at the robot should rest: tired people judge differently.

The time is that since the last pause, told from the stamps of the trials. It is the same whatever
the arms did.
"""

from collections.abc import Iterator, Sequence
import math

from vla_drop_ros.trials.attempts import Attempt

WORK = 30 * 60.0  # [s] after which a rest is due
PAUSE = 5 * 60.0  # [s] without a trial that count as a rest


def seconds_worked(attempts: Sequence[Attempt], now: float) -> float:
    """Return how long people have worked without a pause of ``PAUSE``, [s].

    A trial that runs is work, however long. A clock that began anew is a pause: who has started
    a simulator again did not judge meanwhile.

    Args:
        attempts: every attempt so far, the current one last.
        now: node clock, [s].

    """
    begun = now
    for start, end in _busy(attempts, now):
        if end > begun or begun - end >= PAUSE:
            break
        begun = start
    return max(0.0, now - begun)


def _busy(attempts: Sequence[Attempt], now: float) -> Iterator[tuple[float, float]]:
    """Yield start and end of what ran, the last one first."""
    for attempt in reversed(attempts):
        if not math.isfinite(attempt.started):
            continue
        runs = math.isnan(attempt.ended)
        seen = math.isfinite(attempt.duration)
        yield attempt.started, now if runs else attempt.ended if seen else attempt.started
