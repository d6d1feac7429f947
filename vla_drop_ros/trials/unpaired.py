# SPDX-License-Identifier: Apache-2.0
"""Comparisons that ignore the pairs: for old logs, broken pairs, and as a second opinion.

Mantel-Haenszel's odds ratio comes from statsmodels, which is not needed otherwise:
``pip install 'vla_drop_ros[statistics]'``. Its score test of a difference is not used: up to 0.15
the cubic of Miettinen and Nurminen holds a count of successes there in place of a count of trials.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.stats import boschloo_exact, norm

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.trials.statistics import Interval

Arm = tuple[int, int]  # successes, trials
EDGE = 1.0 - 1e-6
FAR = 1e6  # a score that stands for an infinite one
TIE = 1e-12
MISSING = ("statsmodels is not installed; it is needed for Mantel-Haenszel's odds ratio: "
           "pip install 'vla_drop_ros[statistics]'")


@dataclass(frozen=True, slots=True)
class UnpairedScore:
    """The score test of Miettinen and Nurminen.

    Attributes:
        difference: candidate minus baseline, interval of confidence 1 - 2 alpha.
        p_value: one-sided, of 'the difference is at most -margin'.

    """

    difference: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class Stratified:
    """Mantel-Haenszel's common odds ratio over strata, candidate against baseline.

    Attributes:
        odds_ratio: above 1 where the candidate is better.
        low: of its 95 % interval.
        high: of its 95 % interval.
        p_value: of 'the odds ratio is 1', two-sided.
        heterogeneity: p value of 'it is the same in every stratum' (Breslow-Day); small: the
            strata disagree, look at each.

    """

    odds_ratio: float
    low: float
    high: float
    p_value: float
    heterogeneity: float


def unpaired_score(candidate: Arm, baseline: Arm, margin: float, alpha: float) -> UnpairedScore:
    """Return the score test and interval of two independent success rates.

    Source: O. Miettinen and M. Nurminen, Statistics in Medicine 4 (1985) 213-226.
    """
    if not all(0 <= won <= made and made for won, made in (candidate, baseline)):
        raise ValueError(f'{candidate} and {baseline}; each is (successes, trials)')
    estimate = candidate[0] / candidate[1] - baseline[0] / baseline[1]

    def excess(difference: float, bound: float) -> float:
        return _score(candidate, baseline, difference) - bound

    bound = float(norm.isf(alpha))
    low = high = estimate
    if estimate > -EDGE:
        low = -1.0 if excess(-EDGE, bound) < 0 else float(
            brentq(excess, -EDGE, min(estimate, EDGE), args=(bound,)))
    if estimate < EDGE:
        high = 1.0 if excess(EDGE, -bound) > 0 else float(
            brentq(excess, max(estimate, -EDGE), EDGE, args=(-bound,)))
    return UnpairedScore(Interval(estimate, low, high, 1 - 2 * alpha),
                         float(norm.sf(_score(candidate, baseline, -margin))))


def _score(candidate: Arm, baseline: Arm, difference: float) -> float:
    """Return the score of 'the rates differ by this', positive where the data say by more."""
    (won, made), (other_won, other_made) = candidate, baseline
    low, high = max(0.0, -difference) + TIE, min(1.0, 1.0 - difference) - TIE

    def slope(rate: float) -> float:
        """Return the derivative of the log-likelihood by the rate of the baseline; it falls."""
        shifted = rate + difference
        return float(other_won / rate - (other_made - other_won) / (1 - rate)
                     + won / shifted - (made - won) / (1 - shifted))

    rate = low if slope(low) <= 0 else high if slope(high) >= 0 else float(
        brentq(slope, low, high, xtol=1e-15))
    shifted = min(1.0, max(0.0, rate + difference))
    both = made + other_made
    variance = ((shifted * (1 - shifted) / made + rate * (1 - rate) / other_made)
                * both / (both - 1))
    gap = won / made - other_won / other_made - difference
    return max(-FAR, min(FAR, gap / sqrt(max(variance, TIE ** 2))))


def boschloo(candidate: Arm, baseline: Arm) -> float:
    """Return the one-sided exact p value of 'the candidate is no better'; no margin.

    Source: R. D. Boschloo, Statistica Neerlandica 24 (1970) 1-35.
    """
    table = [[candidate[0], baseline[0]],
             [candidate[1] - candidate[0], baseline[1] - baseline[0]]]
    return float(boschloo_exact(table, alternative='greater').pvalue)


def mantel_haenszel(strata: Mapping[str, tuple[Arm, Arm]]) -> Stratified:
    """Return the common odds ratio over strata; each gives the candidate's arm, the baseline's.

    Raises:
        MissingDependencyError: statsmodels is not installed.

    Source: N. Mantel and W. Haenszel, Journal of the National Cancer Institute 22 (1959) 719-748.
    """
    try:
        from statsmodels.stats.contingency_tables import StratifiedTable
    except ImportError as error:
        raise MissingDependencyError(MISSING) from error
    tables = [[[one[0], one[1] - one[0]], [other[0], other[1] - other[0]]]
              for one, other in strata.values()]
    # Half a success keeps a stratum in which everything succeeds from dividing by zero.
    found = StratifiedTable(tables, shift_zeros=True)
    low, high = found.oddsratio_pooled_confint()
    with np.errstate(invalid='ignore'):  # no test where strata agree exactly: nan
        alike = found.test_equal_odds().pvalue if len(tables) > 1 else 1.0
    return Stratified(float(found.oddsratio_pooled), float(low), float(high),
                      float(found.test_null_odds(correction=False).pvalue), float(alike))
