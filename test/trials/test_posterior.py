# SPDX-License-Identifier: Apache-2.0
"""The posterior of a success rate is the Beta distribution of a flat prior."""

import numpy as np
import pytest

from vla_drop_ros.trials.posterior import Posterior


def test_without_trials_every_rate_is_as_likely() -> None:
    """The flat prior itself: density 1 everywhere, and the interval is its level."""
    flat = Posterior(0, 0)
    assert flat.density([0.1, 0.5, 0.9]) == pytest.approx([1.0] * 3)
    assert flat.interval(0.9) == pytest.approx((0.05, 0.95))


@pytest.mark.parametrize(('won', 'made'), [(0, 12), (7, 20), (20, 20)])
def test_density_is_the_likelihood_over_its_integral(won: int, made: int) -> None:
    """Against a plain numerical integral of the binomial likelihood."""
    rates = np.linspace(0.0, 1.0, 20001)
    likelihood = rates ** won * (1 - rates) ** (made - won)
    step = rates[1] - rates[0]
    expected = likelihood / (likelihood.sum() * step)
    assert Posterior(won, made).density(rates) == pytest.approx(expected, abs=0.02)
    low, high = Posterior(won, made).interval()
    inside = (rates >= low) & (rates <= high)
    assert expected[inside].sum() * step == pytest.approx(0.95, abs=0.002)


def test_impossible_counts_are_refused() -> None:
    """More successes than trials, or fewer than none."""
    for counts in ((3, 2), (-1, 4)):
        with pytest.raises(ValueError, match='successes in'):
            Posterior(*counts)
