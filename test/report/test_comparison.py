# SPDX-License-Identifier: Apache-2.0
"""A candidate is compared with the baseline pair by pair."""

import pytest

from vla_drop_ros.report.comparison import duos_of
from vla_drop_ros.report.results import Results


def test_pairs_are_of_one_scene(opened: Results) -> None:
    """Both trials of a pair share round and condition, and the arms are not mixed up."""
    duos = duos_of(opened.rows, 'lean9', 'whole9')
    assert len(duos) == 36
    for one, other in duos:
        assert (one.arm, other.arm) == ('lean9', 'whole9')
        assert (one.pair, one.round, one.condition) == (other.pair, other.round, other.condition)


def test_progress_and_time_are_means_over_pairs(opened: Results) -> None:
    """Mean differences are those that one computes from the rows."""
    comparison, = opened.comparisons
    duos = duos_of(opened.rows, 'lean9', 'whole9')
    assert comparison.progress is not None
    assert comparison.progress.mean == pytest.approx(
        sum(one.progress - other.progress for one, other in duos) / len(duos))
    seconds = [[row.seconds if row.success else 30.0 for row in duo] for duo in duos]
    assert comparison.time.mean == pytest.approx(
        sum(theirs - mine for mine, theirs in seconds) / 30.0 / len(duos))


def test_exchanged_arms_mirror_the_pairs(opened: Results) -> None:
    """Who is called the candidate decides only the sign."""
    forth = [(one.code, other.code) for one, other in duos_of(opened.rows, 'lean9', 'whole9')]
    back = [(other.code, one.code) for one, other in duos_of(opened.rows, 'whole9', 'lean9')]
    assert forth == back


def test_sensitivity_begins_with_what_decides(opened: Results) -> None:
    """The first row is the verdict's own; all complete pairs are the same pairs here."""
    comparison, = opened.comparisons
    primary, everything, *_ = comparison.rows
    assert primary.interval == comparison.verdict.interval
    assert everything.interval.estimate == primary.interval.estimate
    assert comparison.invalid.baseline[0] + comparison.invalid.candidate[0] == sum(
        not row.valid for row in opened.rows)
