# SPDX-License-Identifier: Apache-2.0
"""The mean difference of something measured in pairs, with an interval that assumes no shape."""

import numpy as np
import numpy.typing as npt

from vla_drop_ros.trials.statistics import Interval

RESAMPLES, STEP = 10_000, 500
LEAST_PAIRS = 6  # with fewer, resampling knows too few values


def paired_bootstrap(differences: npt.ArrayLike, confidence: float = 0.95, seed: int = 0
                     ) -> Interval:
    """Return the mean of differences with its percentile bootstrap interval over pairs.

    With fewer than ``LEAST_PAIRS`` the interval is nan; without any, so is the mean. For one look.

    Args:
        differences: candidate minus baseline, shape (pairs,), in any unit.
        confidence: of the interval, two-sided.
        seed: of the resampling.

    Source: B. Efron and R. J. Tibshirani, An introduction to the bootstrap (1993), chapter 13.
    """
    found = np.asarray(differences, float).ravel()
    nan = float('nan')
    if not np.isfinite(found).all():
        raise ValueError(f'differences {found} are not all finite; leave out what was not '
                         'measured')
    mean = float(found.mean()) if found.size else nan
    if found.size < LEAST_PAIRS:
        return Interval(mean, nan, nan, confidence)
    rng = np.random.default_rng(seed)
    means = np.concatenate([found[rng.integers(0, found.size, (STEP, found.size))].mean(axis=1)
                            for _ in range(RESAMPLES // STEP)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high), confidence)
