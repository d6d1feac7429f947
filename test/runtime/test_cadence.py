# SPDX-License-Identifier: Apache-2.0
"""Rates count while something was asked, quantiles are right, and the report fits a terminal."""

import numpy as np
import pytest

from vla_drop_ros.runtime.cadence import Cadence, KEPT, STAGES, Stages

FAST = Stages(0.001, 0.002, 0.050, 0.001)


def test_stages_add_up() -> None:
    """The total is the time from request to publish."""
    assert FAST.total == pytest.approx(0.054)


def test_rate_leaves_out_the_time_between_episodes() -> None:
    """A minute without an instruction does not lower the rate."""
    cadence = Cadence()
    for episode, start in ((1, 10.0), (2, 70.0)):
        for i in range(5):
            cadence.add(FAST, start + 0.5 * i, episode, 0.4)
    assert cadence.rate == pytest.approx(2.0)
    assert cadence.wanted_rate == pytest.approx(2.5)


def test_over_budget_counts_chunks_that_took_too_long() -> None:
    """One of four."""
    cadence = Cadence()
    for inference in (0.05, 0.05, 0.6, 0.05):
        cadence.add(Stages(0.0, 0.0, inference, 0.0), 1.0, 1, 0.4)
    assert cadence.over_budget == pytest.approx(0.25)


@pytest.mark.parametrize('count', [1, 100, KEPT + 500])
def test_quantiles_are_of_the_last_chunks(count: int) -> None:
    """As numpy has them over the last KEPT."""
    cadence, rng = Cadence(), np.random.default_rng(count)
    times = rng.uniform(0.01, 0.1, count)
    for i, seconds in enumerate(times):
        cadence.add(Stages(0.0, 0.0, float(seconds), 0.0), float(i), 1, 1.0)
    assert cadence.quantile(0.95)['inference'] == pytest.approx(np.quantile(times[-KEPT:], 0.95))


def test_report_names_every_stage_within_100_columns() -> None:
    """Even with long times; mean, p95 and worst stand in milliseconds."""
    cadence = Cadence()
    for i in range(10):
        cadence.add(Stages(0.0, 0.001, 12.3456 if i == 7 else 0.05, 0.002), 0.4 * i, 1, 0.4)
    report = cadence.report()
    lines = report.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[2:2 + len(STAGES)]] == list(STAGES)
    assert lines[4].split()[1:] == ['1279.6', f'{cadence.quantile(0.95)["inference"] * 1000:.1f}',
                                    '12345.6']
    assert '10 chunks, 2.50/s' in lines[0] and '10.0% over budget' in lines[0]
    assert 'headroom' in lines[-1]


def test_nothing_to_report() -> None:
    """A run without a chunk has no cadence; one chunk has no rate."""
    cadence = Cadence()
    assert cadence.report() == ''
    cadence.add(FAST, 1.0, 1, 0.4)
    assert cadence.report() and np.isnan(cadence.rate)
