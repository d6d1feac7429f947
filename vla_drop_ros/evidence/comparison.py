# SPDX-License-Identifier: Apache-2.0
"""Success of a row over training seeds and scenes, and its paired difference to another row."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from vla_drop_ros.evidence.results import Outcomes
from vla_drop_ros.trials.statistics import Interval, paired_difference, wilson
from vla_drop_ros.types import FloatArray

REPLICATES = 4000
CONFIDENCE = 0.95


def common(groups: Sequence[Sequence[Outcomes]]) -> list[FloatArray]:
    """Return for each group the successes on the scenes that all have, (seeds, scenes)."""
    scenes = sorted(set.intersection(*(set(map(int, one.seeds))
                                       for group in groups for one in group)))
    order = np.array(scenes, dtype=int)
    return [np.stack([one.on(order).success for one in group]) for group in groups]


def success(runs: FloatArray) -> Interval:
    """Return the success rate of runs (seeds, scenes) with a 95 % interval.

    Of one training seed Wilson's; of several, percentiles over resampled seeds and scenes, since
    episodes of one seed are not independent.
    """
    seeds, scenes = runs.shape
    if seeds == 1:
        return wilson(int(runs.sum()), scenes)
    return _interval(float(runs.mean()), _resampled(runs))


def difference(runs: FloatArray, base: FloatArray) -> Interval:
    """Return the paired difference of success to ``base``, with a 95 % interval.

    Scenes are paired, and training seeds where ``base`` has as many; a ``base`` of one seed is
    compared with each. Two single runs: Tango's score interval. More: percentiles over resampled
    seeds and scenes.
    """
    if len(runs) == len(base) == 1:
        return paired_difference(int(((runs == 1) & (base == 0)).sum()),
                                 int(((runs == 0) & (base == 1)).sum()), runs.shape[1])
    gaps = runs - (base if len(base) == len(runs) else base.mean(0, keepdims=True))
    return _interval(float(gaps.mean()), _resampled(gaps))


def _resampled(values: FloatArray) -> FloatArray:
    """Return means over seeds and scenes drawn with replacement, shape (REPLICATES,)."""
    rng = np.random.default_rng(0)
    seeds, scenes = values.shape
    rows = rng.integers(seeds, size=(REPLICATES, seeds))
    columns = rng.integers(scenes, size=(REPLICATES, scenes))
    means: FloatArray = np.array([values[np.ix_(row, column)].mean()
                                  for row, column in zip(rows, columns, strict=True)])
    return means


def _interval(estimate: float, replicates: FloatArray) -> Interval:
    low, high = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(estimate, float(low), float(high), CONFIDENCE)


def rank_correlation(first: FloatArray, second: FloatArray) -> Interval:
    """Return Spearman's rho of two vectors with a bootstrap interval over their entries."""
    rng = np.random.default_rng(0)
    rho = float(spearmanr(first, second).statistic)
    found = []
    for _ in range(1000):
        rows = rng.integers(len(first), size=len(first))
        if np.ptp(first[rows]) > 0 and np.ptp(second[rows]) > 0:
            found.append(float(spearmanr(first[rows], second[rows]).statistic))
    return _interval(rho, np.array(found)) if found else Interval(rho, -1.0, 1.0, CONFIDENCE)
