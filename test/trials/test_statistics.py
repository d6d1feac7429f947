# SPDX-License-Identifier: Apache-2.0
"""Intervals and tests reproduce published and enumerated numbers."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest, multinomial, norm

from vla_drop_ros.trials.statistics import mcnemar_exact, paired_difference, tango_z, wilson

Z95 = float(norm.ppf(0.95))


def power(rejects: Callable[[int, int, int], bool], n: int, only_b: float, only_c: float) -> float:
    """Return P(reject), enumerated over all outcomes of n pairs."""
    cells = [(b, c) for b in range(n + 1) for c in range(n + 1 - b) if rejects(b, c, n)]
    counts = np.array([(b, c, n - b - c) for b, c in cells])
    return float(multinomial.pmf(counts, n, [only_b, only_c, 1 - only_b - only_c]).sum())


def discordant(baseline: float, candidate: float) -> tuple[float, float]:
    """Return the two discordant probabilities of independent arms."""
    return candidate * (1 - baseline), baseline * (1 - candidate)


@pytest.mark.parametrize(('successes', 'trials'), [(8, 10), (0, 20), (20, 20), (37, 50), (1, 3)])
def test_wilson_agrees_with_scipy(successes: int, trials: int) -> None:
    """The interval equals scipy's, also at 0 and at all successes."""
    expected = binomtest(successes, trials).proportion_ci(0.95, method='wilson')
    interval = wilson(successes, trials)
    assert interval.low == pytest.approx(expected.low, abs=1e-12)
    assert interval.high == pytest.approx(expected.high, abs=1e-12)


def test_wilson_covers_at_its_level() -> None:
    """At n = 50 the average coverage over success rates lies near 95 %."""
    rates = np.linspace(0.05, 0.95, 181)
    intervals = [wilson(k, 50) for k in range(51)]
    coverage = [sum(float(binom.pmf(k, 50, p)) for k, i in enumerate(intervals)
                    if i.low <= p <= i.high) for p in rates]
    assert np.mean(coverage) == pytest.approx(0.953, abs=0.006)


def test_wilson_without_trials_knows_nothing() -> None:
    """No trial gives the whole range instead of a division by zero."""
    interval = wilson(0, 0)
    assert np.isnan(interval.estimate)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(('b', 'c', 'n', 'half'), [(8, 8, 50, 0.135), (4, 4, 100, 0.052)])
def test_tango_interval_of_balanced_pairs(b: int, c: int, n: int, half: float) -> None:
    """The 90 % half widths are those of the reference computation."""
    interval = paired_difference(b, c, n, confidence=0.90)
    assert interval.estimate == 0.0
    assert interval.high == pytest.approx(half, abs=5e-4)
    assert interval.low == pytest.approx(-half, abs=5e-4)


def test_tango_interval_of_a_published_table() -> None:
    """Hyper-responsive airways before and after stem cell transplantation: 1 of 21 only, 7 only.

    Bentur et al. 2009, worked by Fagerland, Lydersen and Laake, Recommended tests and confidence
    intervals for paired binomial proportions, Statistics in Medicine 33 (2014) 2850-2875.
    """
    interval = paired_difference(1, 7, 21)
    assert interval.estimate == pytest.approx(-6 / 21)
    assert (interval.low, interval.high) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_tango_interval_mirrors() -> None:
    """Naming the arms the other way round mirrors the interval."""
    there, back = paired_difference(12, 3, 60), paired_difference(3, 12, 60)
    assert there.low == pytest.approx(-back.high, abs=1e-8)
    assert there.high == pytest.approx(-back.low, abs=1e-8)


@pytest.mark.parametrize(('b', 'c', 'n'),
                         [(0, 0, 50), (50, 0, 50), (0, 50, 50), (1, 0, 1), (0, 0, 1), (0, 7, 10)])
def test_tango_interval_exists_at_the_edges(b: int, c: int, n: int) -> None:
    """No discordant pair, or only such pairs, still gives an interval around the estimate."""
    interval = paired_difference(b, c, n)
    assert -1.0 <= interval.low <= interval.estimate <= interval.high <= 1.0
    assert interval.high - interval.low > 0.05


def test_tango_z_at_no_margin_is_mcnemar() -> None:
    """With margin 0 the statistic is (b - c) / sqrt(b + c)."""
    assert tango_z(9, 4, 40) == pytest.approx(5 / np.sqrt(13))


@pytest.mark.parametrize(('n', 'b', 'c', 'margin', 'expected'), [
    (100, *discordant(0.8, 0.8), 0.0, 0.050),
    (100, *discordant(0.6, 0.6), 0.0, 0.049),
    (100, *discordant(0.6, 0.8), 0.0, 0.929),
    (100, *discordant(0.7, 0.9), 0.0, 0.977),
    (100, 0.15, 0.05, 0.0, 0.743),
    (100, 0.11, 0.21, 0.10, 0.049),
    (100, 0.16, 0.16, 0.10, 0.543),
    (100, 0.08, 0.08, 0.10, 0.778),
    (100, 0.04, 0.04, 0.10, 0.940),
    (100, 0.20, 0.12, 0.10, 0.939),
    (50, 0.08, 0.08, 0.10, 0.49),
    (50, 0.08, 0.08, 0.15, 0.78),
])
def test_tango_error_rate_and_power(n: int, b: float, c: float, margin: float,
                                    expected: float) -> None:
    """Enumerated size and power of the one-sided 5 % test equal the reference table."""
    found = power(lambda i, j, k: tango_z(i, j, k, margin) >= Z95, n, b, c)
    assert found == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(('only_b', 'only_c', 'expected'), [
    (*discordant(0.8, 0.8), 0.036),
    (*discordant(0.6, 0.6), 0.037),
    (0.08, 0.08, 0.031),
    (*discordant(0.6, 0.8), 0.908),
    (*discordant(0.7, 0.9), 0.967),
    (0.15, 0.05, 0.675),
])
def test_mcnemar_error_rate_and_power(only_b: float, only_c: float, expected: float) -> None:
    """Enumerated size and power of the exact test, one direction at 5 %, equal the table."""
    found = power(lambda b, c, _: b > c and mcnemar_exact(b, c) <= 0.10, 100, only_b, only_c)
    assert found == pytest.approx(expected, abs=6e-4)


def test_mcnemar_agrees_with_the_binomial_test() -> None:
    """The p value is that of a fair coin, two-sided, and 1 without discordant pairs."""
    assert mcnemar_exact(9, 2) == pytest.approx(binomtest(2, 11).pvalue)
    assert mcnemar_exact(0, 0) == 1.0


@pytest.mark.parametrize('call', [
    lambda: wilson(3, 2), lambda: wilson(-1, 2), lambda: wilson(1, 2, 1.0),
    lambda: tango_z(3, 3, 5), lambda: tango_z(0, 0, 0), lambda: paired_difference(-1, 0, 5)])
def test_impossible_counts_are_refused(call: Callable[[], object]) -> None:
    """Counts that cannot come from trials raise instead of giving an interval."""
    with pytest.raises(ValueError, match=r'.'):
        call()
