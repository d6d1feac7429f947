# SPDX-License-Identifier: Apache-2.0
"""Differences of pairs that are no mere success: rubric progress, time, smoothness.

The test flips signs: if the arms are alike, every difference might as well have had the other
sign. That looks once, at the end; the bet beside it holds at any time, for differences in -1..1.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_drop_ros.trials.betting import anytime_interval_of_differences, log_e_of_differences
from vla_drop_ros.trials.pairs import Outcome
from vla_drop_ros.trials.statistics import Interval

FLIPS = 10_000
TIE = 1e-9  # sums closer than this are one sum
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """A mean over pairs, candidate minus baseline.

    Attributes:
        mean: of the differences; nan without pairs.
        pairs: differences.
        p_value: sign flips, one-sided, of 'the mean is at most -margin'.
        log_e: logarithm of the e-value against the same.
        anytime: the mean with bounds that hold at any time.

    """

    mean: float
    pairs: int
    p_value: float
    log_e: float
    anytime: Interval


def sign_flip(differences: npt.ArrayLike, margin: float = 0.0, seed: int = 0) -> float:
    """Return the one-sided p value of 'the mean difference is at most -margin'.

    Exact where 2 ** pairs is at most 10000, else by random flips that ``seed`` decides.
    """
    found = np.asarray(differences, float).ravel() + margin
    if not found.any():
        return 1.0
    if 2 ** found.size <= FLIPS:
        choices = np.arange(2 ** found.size)[:, None] >> np.arange(found.size) & 1
        sums = (1 - 2 * choices) @ found
        return float(np.mean(sums >= found.sum() - TIE))
    signs = np.random.default_rng(seed).integers(0, 2, (FLIPS - 1, found.size), np.int8)
    sums = (1.0 - 2.0 * signs) @ found
    return float((1 + np.sum(sums >= found.sum() - TIE)) / FLIPS)


def mean_difference(differences: npt.ArrayLike, margin: float = 0.0, alpha: float = 0.05,
                    seed: int = 0) -> MeanDifference:
    """Compare two arms by differences of pairs in -1 .. 1.

    Args:
        differences: candidate minus baseline, shape (pairs,), for instance of progress.
        margin: the mean may be lower by no more than this.
        alpha: one-sided error of each bound.
        seed: of the random flips.

    """
    found = np.asarray(differences, float).ravel()
    mean = float(found.mean()) if found.size else float('nan')
    return MeanDifference(mean, found.size, sign_flip(found, margin, seed),
                          log_e_of_differences(found, margin),
                          anytime_interval_of_differences(found, alpha))


def progress_differences(chosen: dict[tuple[int, str, str], Outcome], baseline: str,
                         candidate: str) -> Array:
    """Return the differences of rubric progress of all pairs that have both.

    Args:
        chosen: the outcome of every place; see ``pairs.final``.
        baseline: name of the arm.
        candidate: name of the arm.

    """
    found = []
    for (round_, condition, arm), outcome in sorted(chosen.items()):
        other = chosen.get((round_, condition, baseline))
        if arm == candidate and other is not None:
            found.append(outcome.progress - other.progress)
    values = np.asarray(found, float)
    return values[np.isfinite(values)]
