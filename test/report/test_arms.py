# SPDX-License-Identifier: Apache-2.0
"""What an arm did is counted over the trials that count, and over nothing else."""

from dataclasses import replace
from math import isnan

import pytest

from vla_drop_ros.report.arms import arm_result, CheckpointFacts, speed_of
from vla_drop_ros.report.results import Results


def test_rows_that_do_not_count_change_nothing(opened: Results) -> None:
    """More invalid trials, or trials of rounds that are not complete, leave an arm as it was."""
    design = opened.record.study.design
    extra = [replace(row, counted=False, verdict='failure') for row in opened.rows]
    arm = design.arms[0]
    assert arm_result(arm, [*opened.rows, *extra], design, CheckpointFacts()) == arm_result(
        arm, opened.rows, design, CheckpointFacts())


def test_conditions_sum_to_the_arm(opened: Results) -> None:
    """Successes and trials of the conditions are those of the arm."""
    for arm in opened.arms:
        assert sum(won for won, _ in arm.conditions.values()) == arm.successes
        assert sum(made for _, made in arm.conditions.values()) == arm.trials
        assert arm.success.low < arm.successes / arm.trials < arm.success.high


def test_nothing_is_measured_of_nothing(opened: Results) -> None:
    """An arm without trials has nan and empty tables, and no division by zero."""
    design = opened.record.study.design
    arm = arm_result(design.arms[0], [], design, CheckpointFacts())
    assert arm.trials == 0 and arm.stages == () and isnan(arm.success.estimate)
    assert isnan(arm.match) and isnan(arm.solved.restricted_mean)
    assert speed_of([]).trials == 0


def test_a_failure_counts_as_the_longest_trial(opened: Results) -> None:
    """The restricted mean is that of the times with failures at the timeout."""
    for arm in opened.arms:
        times = [row.seconds if row.success else 30.0 for row in opened.rows
                 if row.counted and row.arm == arm.name]
        assert arm.solved.restricted_mean == pytest.approx(sum(times) / len(times))
