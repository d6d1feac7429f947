# SPDX-License-Identifier: Apache-2.0
"""Failures never look fast."""

import numpy as np
import pytest

from vla_drop_ros.trials.solve_time import capped, solved_by, time_saved

NAN = float('nan')


def test_staircase_ends_at_the_success_rate() -> None:
    """Two of four solved: the curve rises at their times and stays at a half."""
    found = solved_by([12.0, NAN, 5.0, NAN], 30.0)
    assert found.seconds == (5.0, 12.0)
    assert found.share == (0.25, 0.5)
    assert found.restricted_mean == pytest.approx((12 + 30 + 5 + 30) / 4)


def test_restricted_mean_is_the_area_above_the_curve() -> None:
    """The mean with failures at the timeout equals the integral of 1 - share."""
    times = np.where(np.random.default_rng(0).random(40) < 0.7,
                     np.random.default_rng(1).uniform(2, 30, 40), NAN)
    found = solved_by(times, 30.0)
    grid = np.linspace(0, 30, 300_001)
    index = np.searchsorted(found.seconds, grid, side='right')
    share = np.concatenate(([0.0], found.share))[index]
    assert found.restricted_mean == pytest.approx(float(np.mean(1 - share) * 30), rel=1e-4)


def test_an_arm_that_fails_more_is_slower() -> None:
    """Faster where it solves, but it solves half: its mean time is longer."""
    fast_but_weak = [5.0] * 10 + [NAN] * 10
    slow_but_sure = [12.0] * 20
    assert solved_by(fast_but_weak, 30.0).restricted_mean > solved_by(
        slow_but_sure, 30.0).restricted_mean
    assert time_saved(fast_but_weak, slow_but_sure, 30.0).mean < 0


def test_time_saved_is_a_share_of_the_timeout() -> None:
    """Six seconds sooner in every pair, of thirty."""
    found = time_saved([6.0] * 12, [12.0] * 12, 30.0)
    assert found.mean * 30 == pytest.approx(6.0)
    assert found.p_value < 0.001


def test_nonsense_is_refused() -> None:
    """Unequal lengths, negative times and no timeout raise."""
    with pytest.raises(ValueError, match='pairs'):
        time_saved([1.0], [1.0, 2.0], 30.0)
    with pytest.raises(ValueError, match='positive'):
        capped([-1.0], 30.0)
    with pytest.raises(ValueError, match='positive'):
        capped([1.0], 0.0)


def test_a_success_that_was_ended_by_the_timeout_is_one() -> None:
    """A trial ends some ms after its timeout; the curve still ends at the share of successes."""
    found = solved_by([12.0, 30.02, NAN], 30.0)
    assert found.seconds == (12.0, 30.0)
    assert found.share == pytest.approx((1 / 3, 2 / 3))
