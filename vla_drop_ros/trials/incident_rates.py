# SPDX-License-Identifier: Apache-2.0
"""How often something happened in trials: rates of rare events, and their paired comparison."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from vla_drop_ros.trials.paired_difference import sign_flip
from vla_drop_ros.trials.statistics import Interval


@dataclass(frozen=True, slots=True)
class CountDifference:
    """Counts of the same pairs, candidate minus baseline.

    Attributes:
        pairs: of trials.
        candidate: events of the candidate in them.
        baseline: events of the baseline in them.
        p_value: sign flips of the pairs, two-sided, of 'both have equally many'.

    """

    pairs: int
    candidate: int
    baseline: int
    p_value: float


def poisson_rate(events: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return events a trial with the exact interval of a Poisson rate.

    Without trials nothing is known: the estimate is nan and the interval has no end.

    Source: F. Garwood, Biometrika 28 (1936) 437-442.
    """
    if events < 0 or trials < 0 or (events and not trials):
        raise ValueError(f'{events} events in {trials} trials')
    if not trials:
        return Interval(float('nan'), 0.0, float('inf'), confidence)
    tail = (1 - confidence) / 2
    low = float(chi2.ppf(tail, 2 * events)) / 2 if events else 0.0
    high = float(chi2.isf(tail, 2 * (events + 1))) / 2
    return Interval(events / trials, low / trials, high / trials, confidence)


def count_difference(candidate: Sequence[int], baseline: Sequence[int], seed: int = 0
                     ) -> CountDifference:
    """Compare the counts of two arms in the same pairs, in the same order."""
    if len(candidate) != len(baseline):
        raise ValueError(f'{len(candidate)} and {len(baseline)} counts; pairs have one of each')
    differences = np.asarray(candidate, float) - np.asarray(baseline, float)
    tails = [sign_flip(one, seed=seed) for one in (differences, -differences)]
    return CountDifference(len(candidate), int(sum(candidate)), int(sum(baseline)),
                           min(1.0, 2 * min(tails)))
