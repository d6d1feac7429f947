# SPDX-License-Identifier: Apache-2.0
"""The walk of the counts is exact, against enumeration and closed forms."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom, multinomial

from vla_drop_ros.trials.paired_walk import (
    crossing,
    Flags,
    mirrored,
    one_look,
    peeking,
    scores,
    Walk,
    worst_adversary,
)
from vla_drop_ros.trials.statistics import tango_z


@pytest.mark.parametrize('margin', [0.0, 0.1, 0.15, -0.1])
def test_scores_equal_the_scalar_statistic(margin: float) -> None:
    """The table holds what ``tango_z`` gives for every possible pair of counts."""
    table = scores(12, margin)
    for b, c in product(range(13), repeat=2):
        expected = tango_z(b, c, 12, margin) if b + c <= 12 else -np.inf
        assert table[b, c] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('margin', [0.0, 0.1, -0.2])
def test_scores_are_monotone_in_the_counts(margin: float) -> None:
    """One more pair solved by the candidate only never speaks against it, nor the reverse."""
    table = scores(30, margin)
    for b, c in product(range(30), repeat=2):
        if b + c < 30:
            assert table[b + 1, c] >= table[b, c] - 1e-9
            assert table[b, c + 1] <= table[b, c] + 1e-9


def test_the_walk_is_multinomial() -> None:
    """Without a rule the counts after n pairs have the multinomial distribution."""
    walk = Walk(9, 2)
    p, q = np.array([0.2, 0.05]), np.array([0.3, 0.6])
    for _ in range(9):
        walk.step(p, q)
    for truth, (b, c) in product(range(2), [(0, 0), (3, 2), (9, 0), (1, 7)]):
        expected = multinomial.pmf([b, c, 9 - b - c], 9,
                                   [p[truth], q[truth], 1 - p[truth] - q[truth]])
        assert walk.mass[b, c, truth] == pytest.approx(expected, abs=1e-14)
    assert walk.mass.sum(axis=(0, 1)) == pytest.approx([1.0, 1.0])


def first_lead(n: int) -> Flags:
    """Reject when the candidate leads by two."""
    counts = np.arange(n + 1)
    return np.asarray(counts[:, None] - counts[None, :] >= 2)


def test_crossing_equals_all_sequences() -> None:
    """The probability of having stopped by pair n is that of all sequences, added up."""
    p, q, pairs = 0.3, 0.2, 7
    by_pair = np.zeros(pairs)
    for sequence in product((1, -1, 0), repeat=pairs):
        chance = float(np.prod([{1: p, -1: q, 0: 1 - p - q}[step] for step in sequence]))
        lead = np.cumsum(sequence)
        if (lead >= 2).any():
            by_pair[int((lead >= 2).argmax()):] += chance
    found = crossing(first_lead, pairs, p, q)
    assert found.by_pair[:, 0] == pytest.approx(by_pair, abs=1e-12)
    expected_pairs = 1 + (1 - by_pair[:-1]).sum()
    assert found.mean_pairs[0] == pytest.approx(expected_pairs)


def test_quantile_is_the_first_pair_that_reaches_it() -> None:
    """Half of the studies have stopped by the quantile, and fewer one pair before."""
    found = crossing(first_lead, 40, 0.3, 0.1)
    half = int(found.quantile(0.5)[0])
    assert found.by_pair[half - 1, 0] >= 0.5 > found.by_pair[half - 2, 0]
    assert crossing(first_lead, 3, 0.01, 0.5).quantile(0.5)[0] == 0


def test_truths_may_change_from_pair_to_pair() -> None:
    """A truth given for every pair equals the constant one where it does not change."""
    rule = peeking(0.1, 0.05, range(1, 31))
    constant = crossing(rule, 30, 0.1, 0.15)
    varying = crossing(rule, 30, np.full((30, 1), 0.1), np.full((30, 1), 0.15))
    assert varying.by_pair == pytest.approx(constant.by_pair)
    with pytest.raises(ValueError, match='shapes'):
        crossing(rule, 30, np.full((29, 1), 0.1), np.full((29, 1), 0.15))


def test_mirror_exchanges_the_arms() -> None:
    """The mirrored rule rejects with probability p, q exchanged."""
    rule = peeking(0.0, 0.05, range(5, 26))
    there = crossing(rule, 25, 0.1, 0.3)
    back = crossing(mirrored(rule), 25, 0.3, 0.1)
    assert back.by_pair == pytest.approx(there.by_pair)


def test_the_adversary_of_a_coin() -> None:
    """With no margin an adversary can only toss a fair coin, or wait: known in closed form."""
    def five_in_a_row(n: int) -> Flags:
        region = np.zeros((n + 1, n + 1), bool)
        if n == 5:
            region[5, 0] = True
        return region

    assert worst_adversary(five_in_a_row, 5, 0.0) == pytest.approx(0.5 ** 5)
    assert worst_adversary(five_in_a_row, 9, 0.0) == pytest.approx(0.5 ** 5)


@pytest.mark.parametrize(('margin', 'p', 'q', 'expected'), [
    (0.0, 0.16, 0.16, 0.228), (0.0, 0.24, 0.24, 0.231), (0.0, 0.08, 0.08, 0.200),
    (0.1, 0.11, 0.21, 0.227), (0.1, 0.03, 0.13, 0.198)])
def test_peeking_breaks_the_error(margin: float, p: float, q: float, expected: float) -> None:
    """A 5 % test after every pair from the tenth on errs in a fifth of the studies."""
    found = crossing(peeking(margin, 0.05, range(10, 101)), 100, p, q)
    assert found.power[0] == pytest.approx(expected, abs=6e-4)


def test_one_look_is_the_fixed_test() -> None:
    """At margin 0 and p + q = 1 the rule is a binomial test."""
    found = crossing(one_look(40, 0.0, 0.05), 40, 0.7, 0.3)
    least = next(b for b in range(41) if tango_z(b, 40 - b, 40) >= 1.6449)
    assert found.power[0] == pytest.approx(binom.sf(least - 1, 40, 0.7))
    assert not found.by_pair[:-1].any()
