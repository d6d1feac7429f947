# SPDX-License-Identifier: Apache-2.0
"""A target is met, missed, or not shown: what the interval says, not what one would like."""

from dataclasses import replace

import pytest

from vla_drop_ros.evidence.report import Tables
from vla_drop_ros.evidence.results import Results
from vla_drop_ros.evidence.rows import Row
from vla_drop_ros.evidence.targets import HALF, non_inferior, targets, VISION
from vla_drop_ros.trials.statistics import Interval


@pytest.mark.parametrize(('low', 'estimate', 'high', 'begin'), [
    (-0.04, -0.01, 0.02, 'yes'), (-0.06, -0.02, 0.02, 'not shown; the estimate is within'),
    (-0.12, -0.08, -0.02, 'not shown; the estimate is beyond'), (-0.2, -0.1, -0.06, 'no, worse')])
def test_non_inferiority_is_about_the_interval(
        low: float, estimate: float, high: float, begin: str) -> None:
    """Only a lower end above the margin shows it, only an upper end below it refutes it."""
    assert non_inferior(Interval(estimate, low, high, 0.95)).startswith(begin)


def test_only_what_was_run_is_judged(rows: list[Row], results: Results) -> None:
    """A half that loses 20 points is worse by more than 5; rows without outcomes have no line."""
    named = [rows[0], rows[1], replace(rows[2], name=HALF),
             replace(rows[2], section='composition', name=HALF, recipe='unpaired')]
    found = {hope: (came, verdict) for hope, came, verdict in targets(Tables(named, results))}
    assert found['language half, recovered: non-inferior at 5 points'][1].startswith('no, worse')
    assert found['language half: training step at least 1.4 times as fast'] == ('1.30', 'no')
    assert found['language half: a chunk at least 1.3 times as fast'] == ('1.50', 'yes')
    assert not any('2 left' in hope or 'narrower' in hope for hope in found)


def test_worse_than_half_needs_a_difference(rows: list[Row], results: Results) -> None:
    """The same outcomes under another name are not clearly worse."""
    named = [rows[0], rows[1], replace(rows[2], name=HALF), replace(rows[2], name=VISION)]
    found = {hope: verdict for hope, _, verdict in targets(Tables(named, results))}
    assert found['vision half clearly worse than language half'] == 'not shown'
