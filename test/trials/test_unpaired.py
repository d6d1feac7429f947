# SPDX-License-Identifier: Apache-2.0
"""Unpaired comparisons reproduce published and enumerated numbers."""

import sys

import numpy as np
import pytest
from scipy.stats import binom, boschloo_exact, norm
from statsmodels.stats.contingency_tables import StratifiedTable

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.trials.unpaired import boschloo, mantel_haenszel, unpaired_score


@pytest.mark.parametrize(('first', 'second', 'low', 'high'), [
    ((56, 70), (48, 80), 0.0528, 0.3382),
    ((9, 10), (3, 10), 0.1700, 0.8406),
    ((5, 56), (0, 29), -0.0326, 0.1933)])
def test_interval_of_a_published_table(first: tuple[int, int], second: tuple[int, int],
                                       low: float, high: float) -> None:
    """Miettinen-Nurminen rows of R. G. Newcombe, Statistics in Medicine 17 (1998) 873-890."""
    found = unpaired_score(first, second, 0.1, 0.025).difference
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(('first', 'second'), [((40, 50), (38, 50)), ((56, 70), (48, 80))])
def test_score_is_at_the_likelihoods_maximum(first: tuple[int, int],
                                             second: tuple[int, int]) -> None:
    """The p value is that of the variance at the most likely rates under the null, by search."""
    (x, n), (y, m), margin = first, second, 0.1
    rate = np.linspace(margin + 1e-6, 1 - 1e-6, 400_001)
    likelihood = (x * np.log(rate - margin) + (n - x) * np.log(1 - rate + margin)
                  + y * np.log(rate) + (m - y) * np.log(1 - rate))
    best = rate[likelihood.argmax()]
    shifted = best - margin
    variance = (shifted * (1 - shifted) / n + best * (1 - best) / m) * (n + m) / (n + m - 1)
    z = (x / n - y / m + margin) / np.sqrt(variance)
    assert unpaired_score(first, second, margin, 0.05).p_value == pytest.approx(norm.sf(z),
                                                                               abs=1e-5)


@pytest.mark.parametrize(('first', 'second'), [
    ((0, 50), (0, 50)), ((50, 50), (50, 50)), ((0, 20), (20, 20)), ((20, 20), (0, 20)),
    ((5, 60), (50, 55)), ((1, 1), (0, 1))])
def test_edges_have_an_interval(first: tuple[int, int], second: tuple[int, int]) -> None:
    """All or nothing solved still gives an interval around the estimate, and it mirrors."""
    there = unpaired_score(first, second, 0.1, 0.05).difference
    back = unpaired_score(second, first, 0.1, 0.05).difference
    assert -1.0 <= there.low <= there.estimate <= there.high <= 1.0
    assert there.high - there.low > 0.05
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-6)


def test_two_that_always_fail_are_no_worse() -> None:
    """0 of 50 against 0 of 50 rejects at margin 0.1: why the verdict guards the baseline."""
    assert norm.isf(unpaired_score((0, 50), (0, 50), 0.1, 0.05).p_value) == pytest.approx(
        2.345, abs=1e-3)


def test_error_and_power_enumerated() -> None:
    """50 trials an arm, margin 0.1: the error stays near 5 %, the power at 0.8 is a third."""
    values = np.array([[unpaired_score((x, 50), (y, 50), 0.1, 0.05).p_value <= 0.05
                        for y in range(0, 51)] for x in range(0, 51)])

    def rate(candidate: float, baseline: float) -> float:
        counts = np.arange(51)
        return float(binom.pmf(counts, 50, candidate) @ values @ binom.pmf(counts, 50, baseline))

    errors = [rate(p - 0.1, p) for p in np.linspace(0.6, 1.0, 21)]
    assert min(errors) > 0.03
    assert max(errors) < 0.056
    assert rate(0.8, 0.8) == pytest.approx(0.34, abs=0.015)


def test_boschloo_is_scipys() -> None:
    """Arguments are (successes, trials); small where the candidate is better."""
    expected = boschloo_exact([[18, 9], [2, 11]], alternative='greater').pvalue
    assert boschloo((18, 20), (9, 20)) == pytest.approx(expected)
    assert boschloo((18, 20), (9, 20)) < 0.01 < 0.9 < boschloo((9, 20), (18, 20))


def test_mantel_haenszel_is_statsmodels() -> None:
    """Odds ratio, interval and both tests over three tasks; direction: candidate over baseline."""
    strata = {'a': ((18, 20), (15, 20)), 'b': ((10, 20), (8, 20)), 'c': ((19, 20), (12, 20))}
    found = mantel_haenszel(strata)
    library = StratifiedTable([[[one, 20 - one], [other, 20 - other]]
                               for (one, _), (other, _) in strata.values()])
    assert found.odds_ratio == pytest.approx(library.oddsratio_pooled)
    assert found.p_value == pytest.approx(library.test_null_odds().pvalue)
    assert found.heterogeneity == pytest.approx(library.test_equal_odds().pvalue)
    assert 1.0 < found.low < found.odds_ratio < found.high
    by_hand = (18 * 5 + 10 * 12 + 19 * 8) / (2 * 15 + 10 * 8 + 1 * 12)
    assert found.odds_ratio == pytest.approx(by_hand)


def test_missing_statsmodels_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package the error says what to install."""
    monkeypatch.setitem(sys.modules, 'statsmodels.stats.contingency_tables', None)
    with pytest.raises(MissingDependencyError, match='pip install'):
        mantel_haenszel({'a': ((1, 2), (1, 2))})


def test_impossible_counts_are_refused() -> None:
    """More successes than trials, or no trial, raise."""
    with pytest.raises(ValueError, match='successes'):
        unpaired_score((3, 2), (1, 2), 0.1, 0.05)
