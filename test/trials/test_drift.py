# SPDX-License-Identifier: Apache-2.0
"""Drift and order effects are found where they are, and not where they are not."""

import numpy as np
import pytest

from vla_drop_ros.trials.drift import drift, homogeneity, order_effect
from vla_drop_ros.trials.pairs import Outcome


def study(rates: np.ndarray, seed: int = 0, first_bonus: float = 0.0) -> list[Outcome]:
    """Return pairs with these success rates over the running order, arms in random order."""
    rng, found = np.random.default_rng(seed), []
    for index, rate in enumerate(rates):
        pair, position = divmod(index, 2)
        if position == 0:
            order = rng.permutation(['new', 'old'])
        bonus = first_bonus if position == 0 else 0.0
        found.append(Outcome(pair, 'a', str(order[position]), bool(rng.random() < rate + bonus),
                             position=position, index=index))
    return found


def test_a_robot_that_wears_is_found() -> None:
    """From 95 % to 40 %: trend and homogeneity tests both see it, the quarters fall."""
    found = drift(study(np.linspace(0.95, 0.4, 200)))
    assert found.trend < 0.001
    assert found.homogeneity < 0.001
    assert found.direction < 0
    assert found.parts[0][0] > found.parts[3][0]
    assert sum(trials for _, trials in found.parts) == 200


def test_a_steady_robot_is_not_accused() -> None:
    """Of 200 steady studies 5 % or so have a small p value."""
    accused = np.array([[found.trend < 0.05, found.homogeneity < 0.05] for found in
                        (drift(study(np.full(80, 0.7), seed)) for seed in range(200))])
    assert (accused.sum(axis=0) <= 20).all()


def test_without_variation_nothing_is_tested() -> None:
    """All solved, or nothing run: p = 1 and no homogeneity test, also as JSON."""
    for outcomes in (study(np.ones(20)), [], [Outcome(0, 'a', 'new', None)]):
        found = drift(outcomes)
        assert found.trend == 1.0
        assert found.to_dict()['homogeneity'] is None


def test_sessions_that_differ_are_found() -> None:
    """A bad day is seen, alike days are not; one day, or no failure at all, has no test."""
    assert homogeneity([(18, 20), (17, 20), (6, 20)]) < 0.001
    assert homogeneity([(16, 20), (17, 20), (0, 0)]) > 0.5
    assert np.isnan(homogeneity([(16, 20), (0, 0)])) and np.isnan(homogeneity([(9, 9), (5, 5)]))


def test_order_matters_where_it_does() -> None:
    """The first of a pair has thirty points more: the exact test sees it."""
    found = order_effect(study(np.full(240, 0.6), 1, first_bonus=0.3), 'old', 'new')
    assert found.first_only > found.second_only
    assert found.order_p < 0.01
    assert found.pairs == 120


def test_order_by_coin_is_balanced() -> None:
    """A fair order passes; the candidate always first does not."""
    assert order_effect(study(np.full(120, 0.6)), 'old', 'new').balance_p > 0.05
    fixed = [Outcome(pair, 'a', arm, True, position=position, index=2 * pair + position)
             for pair in range(30) for position, arm in enumerate(('new', 'old'))]
    found = order_effect(fixed, 'old', 'new')
    assert found.candidate_first == 30
    assert found.balance_p < 1e-6


@pytest.mark.parametrize('attempt', [None, True])
def test_repeated_pairs_have_no_order(attempt: bool | None) -> None:
    """A pair with a repetition is not used: its place in the order is not clear."""
    outcomes = [Outcome(0, 'a', 'new', attempt, attempt=0 if attempt is None else 1),
                Outcome(0, 'a', 'old', True, position=1)]
    assert order_effect(outcomes, 'old', 'new').pairs == 0
