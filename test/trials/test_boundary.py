# SPDX-License-Identifier: Apache-2.0
"""The exact boundary keeps its error, has the power it is known for, and cannot be changed."""

from functools import cache
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.boundary import Boundary, Spending
from vla_drop_ros.trials.paired_walk import crossing, mirrored


@cache
def boundary(margin: float = 0.1, spending: Spending = 'linear',
             horizon: int = 100) -> Boundary:
    """Build one, once."""
    return Boundary.build(horizon, margin, 0.05, spending)


def test_thresholds_are_the_known_ones() -> None:
    """Margin 0.10, 100 pairs, linear: the values of the reference computation."""
    found = [boundary().threshold(n) for n in (10, 20, 50, 100)]
    assert found == pytest.approx([2.98, 2.79, 2.50, 2.17], abs=6e-3)
    assert math.isinf(boundary().threshold(5))
    assert math.isinf(boundary().threshold(101))


@pytest.mark.parametrize(('margin', 'spending', 'least'), [
    (0.0, 'quadratic', 0.0498), (0.1, 'quadratic', 0.0498), (0.1, 'linear', 0.0498),
    (0.0, 'linear', 0.0498), (-0.1, 'linear', 0.0485)])
def test_error_is_kept_and_used_up(margin: float, spending: Spending, least: float) -> None:
    """The worst truth at the edge of the null errs in 5 % of studies, hardly less, never more."""
    errors = boundary(margin, spending).errors()
    assert least < errors[-1] <= 0.05
    assert (np.diff(errors) >= 0).all()
    share = np.arange(1, 101) / 100
    spent = share if spending == 'linear' else share ** 2
    assert (errors <= 0.05 * spent + 5e-4).all()


@pytest.mark.parametrize('margin', [0.0, 0.1])
def test_interior_of_the_null_errs_less(margin: float) -> None:
    """A truth worse than the margin is accepted less often than one at the margin."""
    grid, worse = np.meshgrid(np.linspace(0.0, 0.4, 9), (0.02, 0.05, 0.1, 0.2))
    p, q = grid.ravel(), grid.ravel() + margin + worse.ravel()
    possible = p + q <= 1
    errors = crossing(boundary(margin).region, 100, p[possible], q[possible]).power
    assert errors.max() < boundary(margin).errors()[-1]


@pytest.mark.parametrize(('margin', 'p', 'q', 'linear', 'quadratic'), [
    (0.0, 0.16, 0.16, 0.041, 0.046), (0.0, 0.24, 0.24, 0.045, 0.049),
    (0.0, 0.08, 0.08, 0.033, 0.041), (0.0, 0.32, 0.12, 0.877, 0.906),
    (0.0, 0.27, 0.07, 0.951, 0.965), (0.0, 0.40, 0.10, 0.995, 0.997),
    (0.0, 0.15, 0.05, 0.629, 0.682), (0.1, 0.11, 0.21, 0.041, 0.046),
    (0.1, 0.03, 0.13, 0.029, 0.037), (0.1, 0.16, 0.16, 0.443, 0.492),
    (0.1, 0.08, 0.08, 0.653, 0.708), (0.1, 0.04, 0.04, 0.846, 0.889),
    (0.1, 0.20, 0.12, 0.889, 0.915)])
def test_power_equals_the_reference(margin: float, p: float, q: float, linear: float,
                                    quadratic: float) -> None:
    """Probability of rejection over 100 pairs, both spendings, as in the reference tables."""
    for spending, expected in (('linear', linear), ('quadratic', quadratic)):
        found = crossing(boundary(margin, spending).region, 100, p, q)
        assert found.power[0] == pytest.approx(expected, abs=0.009)


@pytest.mark.parametrize(('margin', 'p', 'q', 'pairs'), [
    (0.0, 0.32, 0.12, 57), (0.0, 0.27, 0.07, 50), (0.0, 0.15, 0.05, 76), (0.1, 0.16, 0.16, 83),
    (0.1, 0.08, 0.08, 76), (0.1, 0.20, 0.12, 56)])
def test_mean_pairs_equal_the_reference(margin: float, p: float, q: float, pairs: int) -> None:
    """A study that stops at its verdict takes as many pairs as the reference says."""
    found = crossing(boundary(margin).region, 100, p, q)
    assert found.mean_pairs[0] == pytest.approx(pairs, abs=0.6)


@pytest.mark.parametrize(('margin', 'power', 'pairs'), [(0.10, 0.36, 45), (0.15, 0.65, 39)])
def test_power_of_fifty_pairs(margin: float, power: float, pairs: int) -> None:
    """The table's smaller study, truly equal arms with 16 % of pairs discordant."""
    found = crossing(boundary(margin, horizon=50).region, 50, 0.08, 0.08)
    assert (found.power[0], found.mean_pairs[0]) == pytest.approx((power, pairs), rel=0.02)


def test_big_effect_is_seen_early() -> None:
    """With 50 % and 5 % of pairs discordant 20 pairs see it with 0.89, in 13 on average."""
    found = crossing(boundary(0.0, horizon=20).region, 20, 0.5, 0.05)
    assert (found.power[0], found.mean_pairs[0]) == pytest.approx((0.89, 13), rel=0.03)


@pytest.mark.parametrize('seed', range(3))
def test_bored_operator_cannot_break_it(seed: int) -> None:
    """Stopping at a random moment, also after a look one disliked, errs in 5 % at most."""
    rng, studies = np.random.default_rng(seed), 2000
    steps = rng.choice((1, -1, 0), (studies, 60), p=(0.11, 0.21, 0.68))
    b, c = np.cumsum(steps == 1, axis=1), np.cumsum(steps == -1, axis=1)
    crossed = np.zeros((studies, 60), bool)
    for n in range(1, 61):
        region = boundary(0.1, horizon=60).region(n)
        if region is not None:
            crossed[:, n - 1] = region[b[:, n - 1], c[:, n - 1]]
    stops = rng.integers(5, 61, studies)
    stopped = (crossed & (np.arange(60) < stops[:, None])).any(axis=1)
    assert 0.0 < stopped.mean() <= crossed.any(axis=1).mean()
    assert crossed.any(axis=1).sum() <= binom.ppf(0.9999, studies, 0.05)


@pytest.mark.parametrize(('b', 'c'), [(14, 3), (10, 2), (3, 14)])
def test_arms_can_be_exchanged(b: int, c: int) -> None:
    """What the mirrored region says of (b, c) is what the region says of (c, b)."""
    found = boundary(0.0)
    mirror = mirrored(found.region)(40)
    assert mirror is not None
    assert bool(mirror[b, c]) == found.crossed(c, b, 40)


def test_crossing_is_monotone_in_the_counts() -> None:
    """A count that rejects still does with one more pair for the candidate, at the same n."""
    for n in (20, 60, 100):
        region = boundary().region(n)
        assert region is not None
        possible = np.add.outer(np.arange(n + 1), np.arange(n + 1)) < n
        assert not (region[:-1] & ~region[1:] & possible[:-1]).any()
        assert not (region[:, 1:] & ~region[:, :-1] & possible[:, :-1]).any()


def test_fewer_looks_give_lower_thresholds() -> None:
    """Looking only after rounds of ten is cheaper, and looks elsewhere reject nothing."""
    rounds = Boundary.build(60, 0.1, 0.05, looks=range(10, 61, 10))
    assert rounds.threshold(60) < boundary(0.1, horizon=60).threshold(60)
    assert not rounds.crossed(35, 0, 35)
    assert rounds.crossed(35, 0, 40)
    assert 0.045 < rounds.errors()[-1] <= 0.05


@pytest.mark.parametrize(('margin', 'plain'), [(0.0, 0.116), (0.1, 0.086), (0.15, 0.080)])
def test_adversary_against_the_plain_boundary(margin: float, plain: float) -> None:
    """A truth that reacts to every outcome errs more often, as much as the reference says."""
    assert boundary(margin).adversarial_error() == pytest.approx(plain, abs=1e-3)


def test_adversary_against_quadratic_spending() -> None:
    """Spending late leaves more to the adversary."""
    found = [boundary(margin, 'quadratic').adversarial_error() for margin in (0.0, 0.1, 0.15)]
    assert found == pytest.approx([0.180, 0.113, 0.103], abs=3e-3)


@pytest.mark.parametrize(('margin', 'level', 'powers'), [
    (0.0, 0.024, {(0.32, 0.12): 0.79, (0.27, 0.07): 0.90, (0.15, 0.05): 0.48}),
    (0.1, 0.030, {(0.16, 0.16): 0.34, (0.08, 0.08): 0.54, (0.04, 0.04): 0.75})])
def test_adversarial_calibration_withstands(margin: float, level: float,
                                            powers: dict[tuple[float, float], float]) -> None:
    """It errs in 5 % at most under any adversary, at the level and power of the reference."""
    found = Boundary.build(100, margin, 0.05, calibration='adversarial')
    assert 0.048 < found.adversarial_error() <= 0.05
    assert found.errors()[-1] == pytest.approx(level, abs=1.5e-3)
    for (p, q), power in powers.items():
        assert crossing(found.region, 100, p, q).power[0] == pytest.approx(power, abs=0.013)


def test_a_stored_boundary_is_the_same() -> None:
    """Written and read, every threshold and every field comes back."""
    first = Boundary.build(30, 0.15, 0.05, looks=range(3, 31, 3))
    assert Boundary.from_dict(first.to_dict()) == first


@pytest.mark.parametrize(('change', 'message'), [
    ({'alpha': 0.01}, 'promises 0.01'),
    ({'looks': [30]}, 'no looks'),
    ({'format': 9}, 'format 9'),
    ({'horizon': 31}, 'horizon of 31'),
    ({'thresholds': None}, 'not a boundary'),
    ({'spending': 'cubic'}, 'linear, quadratic')])
def test_a_changed_boundary_is_refused(change: dict[str, Any], message: str) -> None:
    """A threshold or a promise that was changed is found when the study is opened."""
    data = Boundary.build(30, 0.15, 0.05).to_dict() | change
    with pytest.raises(TrialError, match=message):
        Boundary.from_dict(data)


def test_a_lowered_threshold_is_refused() -> None:
    """One threshold made easier to cross spends error that is not there."""
    data = Boundary.build(30, 0.15, 0.05).to_dict()
    data['thresholds'][14] -= 0.8
    with pytest.raises(TrialError, match='thresholds were changed'):
        Boundary.from_dict(data)


@pytest.mark.parametrize(('arguments', 'message'), [
    ((0, 0.1, 0.05), 'horizon of 0'), ((5000, 0.1, 0.05), 'anytime'), ((50, 1.2, 0.05), 'margin'),
    ((50, 0.1, 0.7), 'alpha')])
def test_impossible_arguments_are_named(arguments: tuple[int, float, float],
                                        message: str) -> None:
    """The message names the bad value and what is possible."""
    with pytest.raises(TrialError, match=message):
        Boundary.build(*arguments)


def test_progress_is_told() -> None:
    """Long computations tell after every pair how far they are."""
    told: list[tuple[int, int]] = []
    Boundary.build(12, 0.1, 0.05, until=8, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(n, 8) for n in range(1, 9)]


@pytest.mark.parametrize('alpha', [0.05 / 4, 0.05 / 3, 0.025])
def test_small_errors_are_found_too(alpha: float) -> None:
    """What Holm asks for with several checkpoints is built in finite time, and keeps its error.

    At 0.0125 with a margin of 0 the search for it once went round in circles.
    """
    for margin in (0.15, 0.0, -0.15):
        boundary = Boundary.build(60, margin, alpha, looks=range(4, 61, 4))
        assert 0.5 * alpha < boundary.errors()[-1] <= alpha
