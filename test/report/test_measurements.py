# SPDX-License-Identifier: Apache-2.0
"""Measured quantities are summed up by arm, and compared on the pairs that had both."""

from dataclasses import replace

import numpy as np
import pytest

from vla_drop_ros.report.comparison import duos_of
from vla_drop_ros.report.measurements import measured, MOTION, Quantity, RUNNING
from vla_drop_ros.report.results import Results

ARMS = ['whole9', 'lean9']


def test_power_is_that_of_the_world(opened: Results) -> None:
    """Medians lie where the world put them, and the difference of pairs between its bounds."""
    power = next(one for one in opened.running if one.keys == 'host.gpu_power')
    assert power.arms == pytest.approx((120.0, 95.0), rel=0.03)
    difference, = power.differences
    assert power.trials == (36, 36) and power.pairs == (36,)
    assert difference.low < -25.0 < difference.high or difference.estimate == pytest.approx(
        -25.0, abs=1.0)
    assert difference.low < difference.estimate < difference.high < 0.0


def test_motion_is_of_what_both_solved(opened: Results) -> None:
    """Arms: their successes; pairs: those that both solved, and no others."""
    counts = opened.comparisons[0].verdict.counts
    smooth = next(one for one in opened.motion if one.keys == 'motion.sparc')
    assert smooth.trials == tuple(arm.successes for arm in opened.arms)
    assert smooth.pairs == (counts.both,)
    both = [(one.number('motion', 'sparc'), other.number('motion', 'sparc'))
            for one, other in duos_of(opened.rows, 'lean9', 'whole9')
            if one.success and other.success]
    assert smooth.differences[0].estimate == pytest.approx(np.mean(np.diff(both)[:, 0] * -1))


def test_yes_and_no_are_shares(opened: Results) -> None:
    """Throttled trials are a share in percent, counted from the flags."""
    throttled = next(one for one in opened.running if one.keys == 'host.throttled')
    mine = [row.flag('host', 'throttled') for row in opened.rows if row.counted
            and row.arm == 'whole9']
    assert throttled.arms[0] == pytest.approx(100.0 * sum(mine) / len(mine))


def test_what_was_not_measured_has_no_line(opened: Results) -> None:
    """Old logs: no line at all; measured for one arm only: no pair, nan for the other."""
    silent = [replace(row, values={}) for row in opened.rows]
    assert measured((*MOTION, *RUNNING), ARMS, silent, [duos_of(silent, 'lean9', 'whole9')]) == ()
    half = [row if row.arm == 'whole9' else replace(row, values={}) for row in opened.rows]
    found, = measured((Quantity(('clipped',), 'n'),), ARMS, half,
                      [duos_of(half, 'lean9', 'whole9')])
    assert found.trials == (36, 0) and found.pairs == (0,) and np.isnan(found.arms[1])
