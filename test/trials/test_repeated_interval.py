# SPDX-License-Identifier: Apache-2.0
"""The interval holds at every look, and never contradicts the boundary."""

import numpy as np
import pytest

from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.repeated_interval import agreeing, repeated_interval, RESOLUTION
from vla_drop_ros.trials.statistics import Interval, paired_difference


def test_it_inverts_the_boundary() -> None:
    """Just outside the interval the boundary of that margin was crossed, just inside not."""
    path = [(b, 2, n) for b, n in ((3, 10), (7, 20), (12, 30))]
    found = repeated_interval(path, 40, 0.05)
    for margin, expected in ((-found.low + 2 * RESOLUTION, True),
                             (-found.low - 2 * RESOLUTION, False)):
        boundary = Boundary.build(40, margin, 0.05)
        assert any(boundary.crossed(*look) for look in path) == expected


def test_it_mirrors() -> None:
    """Exchanging the arms mirrors the interval."""
    there = repeated_interval([(9, 2, 30)], 30, 0.05)
    back = repeated_interval([(2, 9, 30)], 30, 0.05)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=2 * RESOLUTION)


def test_it_is_wider_than_one_look_and_shrinks() -> None:
    """Looking often costs width, and more pairs give it back."""
    one = paired_difference(4, 4, 40, 0.9)
    found = repeated_interval([(4, 4, 40)], 40, 0.05)
    early = repeated_interval([(2, 2, 20)], 40, 0.05)
    assert early.low < found.low < one.low < one.high < found.high < early.high


def test_without_pairs_nothing_is_known() -> None:
    """No look gives the whole range."""
    found = repeated_interval([], 40, 0.05)
    assert (found.low, found.high) == (-1.0, 1.0)
    assert np.isnan(found.estimate)


def test_coverage_at_every_look() -> None:
    """Over simulated studies the truth is outside at some look in 2 alpha of them at most."""
    rng, outside, studies = np.random.default_rng(5), 0, 150
    for _ in range(studies):
        steps = rng.choice((1, -1, 0), 20, p=(0.2, 0.25, 0.55))
        b, c = np.cumsum(steps == 1), np.cumsum(steps == -1)
        path = [(int(b[n - 1]), int(c[n - 1]), n) for n in (5, 10, 15, 20)]
        found = repeated_interval(path, 20, 0.05, looks=(5, 10, 15, 20))
        outside += not found.low - RESOLUTION <= -0.05 <= found.high + RESOLUTION
    assert outside <= 26  # 10 % of 150 plus three standard errors


def test_agreeing_takes_the_resolution_out() -> None:
    """A bound that misses an exact edge by its resolution is put there."""
    interval = Interval(0.05, -0.151, 0.2, 0.9)
    assert agreeing(interval, ['non_inferior'], 0.15).low == -0.15
    assert agreeing(interval, [], 0.15) == interval
    worse = Interval(-0.2, -0.4, 0.001, 0.9)
    assert agreeing(worse, ['worse'], 0.15).high == 0.0
    assert agreeing(worse, ['worse', 'inferior'], 0.15).high == -0.15
