# SPDX-License-Identifier: Apache-2.0
"""The bootstrap interval holds the true mean about as often as it says."""

import numpy as np
import pytest

from vla_drop_ros.trials.paired_bootstrap import LEAST_PAIRS, paired_bootstrap


def test_it_covers_the_true_mean() -> None:
    """Thirty skewed differences: about 95 % of intervals hold their mean, none much fewer."""
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(150):
        found = paired_bootstrap(rng.exponential(2.0, 30) - 1.0)
        hits.append(found.low <= 1.0 <= found.high)
    assert 0.87 <= np.mean(hits) <= 0.99


def test_it_is_that_of_the_normal_where_that_is_true() -> None:
    """A hundred normal differences: mean plus and minus 1.96 standard errors."""
    values = np.random.default_rng(1).normal(3.0, 2.0, 100)
    found = paired_bootstrap(values)
    half = 1.96 * values.std() / 10
    assert (found.low, found.high) == pytest.approx((found.estimate - half, found.estimate + half),
                                                    abs=0.05)
    assert found == paired_bootstrap(values)


def test_few_pairs_have_no_interval() -> None:
    """The mean is told, an interval is not; without pairs neither; nan is an error."""
    few = paired_bootstrap([1.0] * (LEAST_PAIRS - 1))
    assert few.estimate == 1.0 and np.isnan(few.low)
    assert np.isnan(paired_bootstrap([]).estimate)
    with pytest.raises(ValueError, match='not all finite'):
        paired_bootstrap([1.0, np.nan])
