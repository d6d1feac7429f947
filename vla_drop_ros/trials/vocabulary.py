# SPDX-License-Identifier: Apache-2.0
"""Words that people have used in a study, the most used first, so that the next press is near.

They are counted over all arms together: an order of words tells nothing about one of them.
"""

from collections import Counter
from collections.abc import Sequence

from vla_drop_ros.trials.attempts import Attempt

NOTES = 6
LONGEST = 60  # characters of a note that fits on a button


def reasons_by_use(attempts: Sequence[Attempt], reasons: Sequence[str]) -> list[str]:
    """Return the reasons of failures, most used first; equal ones as the design orders them."""
    used = Counter(one.reason for one in attempts if one.verdict == 'failure')
    return sorted(reasons, key=lambda reason: -used[reason])


def notes_by_use(attempts: Sequence[Attempt]) -> list[str]:
    """Return at most ``NOTES`` short notes, most used first, of equal ones the latest first."""
    notes = [note for one in reversed(attempts)
             if (note := ' '.join(one.note.split())) and len(note) <= LONGEST]
    return [note for note, _ in Counter(notes).most_common(NOTES)]
