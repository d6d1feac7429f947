# SPDX-License-Identifier: Apache-2.0
"""Intervals of success and of paired differences: right where known, honest about few seeds."""

import numpy as np
import pytest

from vla_drop_ros.evidence.comparison import common, difference, rank_correlation, success
from vla_drop_ros.evidence.results import Outcomes
from vla_drop_ros.trials.statistics import paired_difference, wilson


def test_one_seed_has_the_textbook_intervals() -> None:
    """Wilson's for a rate, Tango's for a paired difference."""
    runs, base = np.array([[1, 1, 0, 1, 0.0]]), np.array([[1, 1, 1, 0, 1.0]])
    assert success(runs) == wilson(3, 5)
    assert difference(runs, base) == paired_difference(1, 2, 5)


def test_seeds_widen_the_interval() -> None:
    """Three seeds that differ are worth less than as many episodes of one kind."""
    rng = np.random.default_rng(0)
    alike = (rng.random((3, 200)) < 0.8).astype(float)
    apart = (rng.random((3, 200)) < np.array([[0.6], [0.8], [1.0]])).astype(float)
    widths = [found.high - found.low for found in map(success, (alike, apart))]
    assert widths[1] > 2 * widths[0]


def test_the_difference_covers_the_truth() -> None:
    """A true loss of 10 points lies in 95 % intervals of most repetitions."""
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        hard = rng.random(150)
        base = (hard < 0.9).astype(float)[None]
        runs = np.stack([(hard + rng.normal(0, 0.05, 150) < 0.8) for _ in range(3)]).astype(float)
        truth = np.mean([(h < 0.8) for h in np.linspace(0, 1, 1001)]) - 0.9
        found = difference(runs, base)
        hits += found.low <= truth <= found.high
    assert hits >= 34


def test_only_common_scenes_count() -> None:
    """Rows of different length are compared on what both have."""
    def run(seeds: list[int]) -> Outcomes:
        return Outcomes(np.array(seeds), np.array([float(s % 2) for s in seeds]),
                        np.zeros(len(seeds)), np.zeros(len(seeds)))

    one, other = common([[run([0, 1, 2, 3])], [run([3, 2, 1])]])
    assert one.tolist() == other.tolist() == [[1, 0, 1]]


def test_rank_correlation_knows_its_uncertainty() -> None:
    """Perfect order is 1; few models have a wide interval."""
    x = np.arange(30.0)
    assert rank_correlation(x, x ** 3).estimate == pytest.approx(1.0)
    rng = np.random.default_rng(1)
    few, many = (rank_correlation(rng.random(n), rng.random(n)) for n in (6, 200))
    assert few.high - few.low > many.high - many.low and few.low < 0 < few.high
