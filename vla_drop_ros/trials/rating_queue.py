# SPDX-License-Identifier: Apache-2.0
"""Which trials a second person judges from the recording: the unsure ones, and a random fifth.

The fifth of the trials that the first person was sure about is what agreement is measured on. It
is drawn from the design's seed, so everybody who asks is given the same trials. The order is
random too: the two trials of a pair do not follow each other, where one could be held against the
other.
"""

from collections.abc import Sequence
from hashlib import sha256
from math import ceil

from vla_drop_ros.trials.attempts import Attempt

SHARE = 5  # one in so many


def rating_queue(attempts: Sequence[Attempt], seed: int, rater: str = '') -> list[Attempt]:
    """Return the trials that wait for a rating, in the order in which to rate them.

    Args:
        attempts: of one log.
        seed: of the design.
        rater: who asks; what this person judged or has rated is left out.

    """
    def drawn(attempt: Attempt) -> str:
        return sha256(f'{seed} {attempt.code} {attempt.token}'.encode()).hexdigest()

    counted = sorted((one for one in attempts if one.counts), key=drawn)
    unsure = [one for one in counted if one.confidence == 'unsure']
    sure = [one for one in counted if one.confidence != 'unsure']
    chosen = unsure + sure[:ceil(len(sure) / SHARE)]
    return [one for one in chosen if rater not in _known_by(one)]


def _known_by(attempt: Attempt) -> set[str]:
    """Return who has an opinion of a trial already."""
    known = {attempt.who, *(rating.rater for rating in attempt.ratings)}
    return known - {''}
