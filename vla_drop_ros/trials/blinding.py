# SPDX-License-Identifier: Apache-2.0
"""Could the operator tell which arm was running? Asked now and then, after a trial."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

from scipy.stats import binomtest, norm

from vla_drop_ros.errors import TrialError, unknown
from vla_drop_ros.trials.statistics import Interval

UNKNOWN = ''  # a guess: 'I cannot tell'


@dataclass(frozen=True, slots=True)
class Guesses:
    """What people guessed of one arm.

    Attributes:
        arm: that ran.
        right: guesses.
        wrong: guesses.
        unknown: answers 'I cannot tell'.
        index: Bang's: 0 means blind, 1 all know, -1 all believe the opposite; with interval.

    """

    arm: str
    right: int
    wrong: int
    unknown: int
    index: Interval

    @property
    def beyond_luck(self) -> bool:
        """Say whether so many right, or wrong, answers are no luck: exact sign test at 5 %.

        The interval of the index is for many answers; of two right ones it would make knowledge.
        """
        told = self.right + self.wrong
        return bool(told) and float(binomtest(self.right, told).pvalue) < 0.05

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {'arm': self.arm, 'right': self.right, 'wrong': self.wrong,
                'unknown': self.unknown, 'index': self.index.estimate, 'low': self.index.low,
                'high': self.index.high}


def blinding_index(guesses: Iterable[tuple[str, str]], arms: tuple[str, str],
                   confidence: float = 0.95) -> tuple[Guesses, ...]:
    """Return Bang's blinding index of two arms.

    The index is (right - wrong) / all, of each arm by itself.

    Args:
        guesses: (arm that ran, guessed arm or ``UNKNOWN``).
        arms: names; an arm without guesses has an index of nan, interval -1..1.
        confidence: of the interval.

    Raises:
        TrialError: a name is none of the arms.

    Source: H. Bang, L. Ni and C. E. Davis, Controlled Clinical Trials 25 (2004) 143-156.
    """
    answers = list(guesses)
    for arm, guess in answers:
        if arm not in arms or guess not in (*arms, UNKNOWN):
            raise TrialError(unknown('arm', guess if arm in arms else arm, arms))
    found = []
    z = float(norm.ppf(0.5 + confidence / 2))
    for name in arms:
        mine = [guess for arm, guess in answers if arm == name]
        silent = mine.count(UNKNOWN)
        right = mine.count(name)
        wrong = len(mine) - right - silent
        if not mine:
            found.append(Guesses(name, 0, 0, 0, Interval(float('nan'), -1.0, 1.0, confidence)))
            continue
        index = (right - wrong) / len(mine)
        spread = sqrt(max(0.0, (right + wrong) / len(mine) - index ** 2) / len(mine))
        found.append(Guesses(name, right, wrong, silent, Interval(
            index, max(-1.0, index - z * spread), min(1.0, index + z * spread), confidence)))
    return tuple(found)
