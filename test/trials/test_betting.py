# SPDX-License-Identifier: Apache-2.0
"""The bet is fair under the null, whatever the order, and has the power it is known for."""

from itertools import product
import math

import numpy as np
import pytest
from scipy.special import betainc, betaln
from scipy.stats import multinomial

from vla_drop_ros.trials.betting import (
    anytime_interval,
    anytime_interval_of_differences,
    anytime_rule,
    log_e,
    log_e_of_differences,
    p_value,
)
from vla_drop_ros.trials.paired_walk import crossing


@pytest.mark.parametrize(('b', 'c', 'n'), [(9, 4, 40), (0, 0, 5), (30, 10, 200), (0, 7, 9)])
def test_closed_form_without_margin(b: int, c: int, n: int) -> None:
    """At margin 0 the mixture is an incomplete beta integral; concordant pairs say nothing."""
    expected = ((b + c + 1) * math.log(2) + betaln(b + 1, c + 1)
                + math.log1p(-betainc(b + 1, c + 1, 0.5)))
    assert float(log_e(b, c, n)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('margin', [0.0, 0.1, 0.15, -0.1])
@pytest.mark.parametrize('discordant', [0.2, 0.5, 0.9])
def test_expectation_under_the_null_is_at_most_one(margin: float, discordant: float) -> None:
    """Enumerated over all outcomes of eight pairs: 1 at the edge of the null, less inside."""
    counts = np.array([(b, c, 8 - b - c) for b, c in product(range(9), repeat=2) if b + c <= 8])
    values = np.exp(log_e(counts[:, 0], counts[:, 1], 8, margin))
    for inside in (0.0, 0.05):
        q = (discordant + margin + inside) / 2
        p = discordant - q
        expectation = float(multinomial.pmf(counts, 8, [p, q, 1 - p - q]) @ values)
        assert expectation <= 1.0 + 1e-9
        assert (expectation == pytest.approx(1.0)) == (inside == 0.0)


def test_differences_and_counts_agree() -> None:
    """The bet on -1, 0, 1 from a list equals the one from counts, in any order."""
    rng = np.random.default_rng(0)
    differences = rng.choice((-1, 0, 1), 50, p=(0.1, 0.6, 0.3))
    expected = log_e(int((differences == 1).sum()), int((differences == -1).sum()), 50, 0.1)
    for _ in range(3):
        rng.shuffle(differences)
        assert log_e_of_differences(differences, 0.1) == pytest.approx(float(expected))


def test_evidence_is_monotone() -> None:
    """A pair for the candidate raises the evidence, one against lowers it, as does less margin."""
    for b, c in product(range(8), repeat=2):
        assert log_e(b + 1, c, 20, 0.1) > log_e(b, c, 20, 0.1) > log_e(b, c + 1, 20, 0.1)
        assert log_e(b, c, 20, 0.15) > log_e(b, c, 20, 0.1)


def test_unequal_tasks_are_covered_by_balanced_rounds() -> None:
    """Tasks that differ by +0.2 and -0.4 in turn: the mean is the null, the bet still fair."""
    chances = {0: {1: 0.3, -1: 0.1, 0: 0.6}, 1: {1: 0.1, -1: 0.5, 0: 0.4}}
    expectation = 0.0
    for sequence in product((1, -1, 0), repeat=6):
        chance = math.prod(chances[place % 2][step] for place, step in enumerate(sequence))
        expectation += chance * math.exp(log_e_of_differences(sequence, 0.1))
    assert expectation <= 1.0


@pytest.mark.parametrize(('margin', 'p', 'q', 'expected', 'pairs'), [
    (0.0, 0.16, 0.16, 0.022, 99), (0.0, 0.24, 0.24, 0.025, 98), (0.0, 0.08, 0.08, 0.015, 99),
    (0.0, 0.32, 0.12, 0.724, 63), (0.0, 0.27, 0.07, 0.864, 53), (0.0, 0.40, 0.10, 0.973, 37),
    (0.0, 0.15, 0.05, 0.455, 82), (0.1, 0.11, 0.21, 0.026, 98), (0.1, 0.03, 0.13, 0.022, 99),
    (0.1, 0.16, 0.16, 0.270, 87), (0.1, 0.08, 0.08, 0.491, 78), (0.1, 0.04, 0.04, 0.745, 67),
    (0.1, 0.20, 0.12, 0.745, 61)])
def test_power_equals_the_reference(margin: float, p: float, q: float, expected: float,
                                    pairs: int) -> None:
    """Error and power over 100 pairs, and the pairs it takes, by exact walk."""
    found = crossing(anytime_rule(margin, 0.05), 100, p, q)
    assert found.power[0] == pytest.approx(expected, abs=6e-4)
    assert found.mean_pairs[0] == pytest.approx(pairs, abs=0.6)


@pytest.mark.parametrize(('margin', 'expected'), [(0.1, 0.23), (0.15, 0.50)])
def test_power_of_fifty_pairs(margin: float, expected: float) -> None:
    """The reference's smaller study."""
    found = crossing(anytime_rule(margin, 0.05), 50, 0.08, 0.08)
    assert found.power[0] == pytest.approx(expected, abs=6e-3)


@pytest.mark.parametrize('margin', [0.0, 0.1, -0.15])
def test_rule_is_the_bet(margin: float) -> None:
    """The table for the walk says what the bet says, for every pair of counts."""
    region = anytime_rule(margin, 0.05)(30)
    assert region is not None
    for b, c in product(range(31), repeat=2):
        won = b + c <= 30 and float(log_e(b, c, 30, margin)) >= math.log(20)
        assert region[b, c] == won


@pytest.mark.parametrize(('b', 'c', 'n', 'half'), [(8, 8, 50, 0.235), (4, 4, 100, 0.095)])
def test_interval_of_balanced_pairs(b: int, c: int, n: int, half: float) -> None:
    """Within the half width of the reference, which was rounded outward to 0.005."""
    found = anytime_interval(b, c, n)
    assert found.low == pytest.approx(-found.high)
    assert half - 0.0051 <= found.high <= half


def test_interval_inverts_the_bet() -> None:
    """At the bound the e-value is 1 / alpha, in both directions."""
    found = anytime_interval(12, 5, 60, 0.05)
    assert float(log_e(12, 5, 60, -found.low)) == pytest.approx(math.log(20), abs=1e-5)
    assert float(log_e(5, 12, 60, found.high)) == pytest.approx(math.log(20), abs=1e-5)
    swapped = anytime_interval(5, 12, 60, 0.05)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_interval_of_partial_credit_is_narrower() -> None:
    """Differences of a half tell more than those of one, with the same mean."""
    whole = anytime_interval_of_differences([1, 0, 0, 0] * 15)
    half = anytime_interval_of_differences([0.25] * 60)
    assert half.estimate == whole.estimate == pytest.approx(0.25)
    assert half.high - half.low < whole.high - whole.low


def test_anytime_p_value_uses_the_best_look() -> None:
    """Evidence once won is not lost, and without any the p value is one."""
    assert p_value([0.0, math.log(40), 1.0]) == pytest.approx(1 / 40)
    assert p_value([-3.0]) == 1.0
    assert p_value([]) == 1.0


@pytest.mark.parametrize('differences', [[1.5], [-1.01], [float('nan')]])
def test_differences_out_of_range_are_refused(differences: list[float]) -> None:
    """A difference beyond 1 would make the capital negative."""
    with pytest.raises(ValueError, match='from -1 to 1'):
        log_e_of_differences(differences)


def test_impossible_counts_are_refused() -> None:
    """More discordant pairs than pairs raise."""
    with pytest.raises(ValueError, match='discordant'):
        log_e(3, 3, 5)
