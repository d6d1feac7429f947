# SPDX-License-Identifier: Apache-2.0
"""Rates of rare events have their exact interval, and arms are compared pair by pair."""

import numpy as np
import pytest
from scipy.stats import poisson

from vla_drop_ros.trials.incident_rates import count_difference, poisson_rate


@pytest.mark.parametrize(('events', 'trials'), [(0, 30), (1, 30), (7, 50)])
def test_the_interval_is_where_the_tails_begin(events: int, trials: int) -> None:
    """At each end the observed count, or beyond, has 2.5 %; no event: the rule of 3.7 / n."""
    found = poisson_rate(events, trials)
    assert found.estimate == events / trials
    assert poisson.cdf(events, found.high * trials) == pytest.approx(0.025, abs=1e-6)
    if events:
        assert poisson.sf(events - 1, found.low * trials) == pytest.approx(0.025, abs=1e-6)
    else:
        assert found.low == 0.0 and found.high == pytest.approx(3.689 / trials, rel=1e-3)


def test_nothing_is_known_without_trials() -> None:
    """No trial: no rate; events without trials are an error."""
    found = poisson_rate(0, 0)
    assert np.isnan(found.estimate) and found.high == np.inf
    with pytest.raises(ValueError, match='2 events in 0 trials'):
        poisson_rate(2, 0)


def test_the_comparison_is_exact_and_two_sided() -> None:
    """Six pairs with one more each: 2 / 64 whichever arm has them; equal counts: 1."""
    for arms in (([1] * 6, [0] * 6), ([0] * 6, [1] * 6)):
        assert count_difference(*arms).p_value == pytest.approx(2 / 64)
    same = count_difference([1, 0, 2], [1, 0, 2])
    assert (same.candidate, same.baseline, same.pairs, same.p_value) == (3, 3, 3, 1.0)


def test_equal_arms_are_seldom_accused() -> None:
    """Of 200 studies of equal rates no more than 5 % or so have p < 0.05."""
    rng = np.random.default_rng(1)
    low = [count_difference(one.tolist(), other.tolist()).p_value < 0.05
           for one, other in rng.poisson(0.3, (200, 2, 13))]
    assert np.mean(low) < 0.08
