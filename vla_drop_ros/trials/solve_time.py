# SPDX-License-Identifier: Apache-2.0
"""How fast an arm solves, where a failure never does.

A survival curve that calls failures 'not yet' would let an arm that fails look fast. Here a
failure stays unsolved for ever, and counts as the longest trial in the mean.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vla_drop_ros.trials.paired_difference import mean_difference, MeanDifference

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SolvedBy:
    """The share of trials that were solved by a time, a rising staircase.

    Attributes:
        seconds: where it rises, [s], ascending.
        share: its height from there on, 0 to 1.
        restricted_mean: mean time with failures as the longest trial, [s].

    """

    seconds: tuple[float, ...]
    share: tuple[float, ...]
    restricted_mean: float


def capped(seconds: npt.ArrayLike, timeout: float) -> Array:
    """Return times with nan, a failure, and everything later as the longest trial, [s]."""
    found = np.asarray(seconds, float).ravel()
    if not timeout > 0.0 or np.any(found < 0.0):
        raise ValueError(f'times {found} with a timeout of {timeout}; both are positive')
    return np.minimum(np.where(np.isnan(found), timeout, found), timeout)


def solved_by(seconds: npt.ArrayLike, timeout: float) -> SolvedBy:
    """Return the staircase of one arm.

    It ends at the share of successes: a trial that was ended by its timeout, some ms after it, and
    judged a success rises at the timeout.

    Args:
        seconds: time to success of every trial, [s]; nan: failed. Shape (trials,).
        timeout: longest trial, [s].

    """
    found = np.asarray(seconds, float).ravel()
    solved = np.sort(np.minimum(found[~np.isnan(found)], timeout))
    rises, counts = np.unique(solved, return_counts=True)
    share = np.cumsum(counts) / max(1, found.size)
    mean = float(capped(found, timeout).mean()) if found.size else float('nan')
    return SolvedBy(tuple(map(float, rises)), tuple(map(float, share)), mean)


def time_saved(candidate: npt.ArrayLike, baseline: npt.ArrayLike, timeout: float,
               alpha: float = 0.05, seed: int = 0) -> MeanDifference:
    """Return how much sooner the candidate is done, as a share of the timeout, over pairs.

    Positive: the candidate is faster. Times ``timeout`` gives the difference of restricted means
    in [s]. Shapes (pairs,), in the same order, nan where it failed.
    """
    first, second = capped(candidate, timeout), capped(baseline, timeout)
    if first.shape != second.shape:
        raise ValueError(f'{first.size} and {second.size} times; pairs have one of each arm')
    return mean_difference((second - first) / timeout, 0.0, alpha, seed)
