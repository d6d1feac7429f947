# SPDX-License-Identifier: Apache-2.0
"""What a trial left behind is summed up in plain numbers."""

import json

import pytest

from vla_drop_ros.trials.trial_measures import summary, TrialMeasures


def test_what_was_not_measured_is_left_out() -> None:
    """No chunk, no latency; nothing that JSON cannot write."""
    assert json.loads(json.dumps(TrialMeasures().to_dict(), allow_nan=False)) == {
        'chunks': 0, 'instruction': ''}


def test_clipped_commands_are_those_of_this_trial() -> None:
    """The gate counts from its own start: the first count of a trial is where it begins."""
    measures = TrialMeasures(ages=[0.1, 0.2, 0.3], chunks=3, instruction='go')
    for total in (41, 41, 44):
        measures.count_clipped(total)
    found = measures.to_dict()
    assert found['clipped'] == 3 and found['latency']['median'] == 0.2


def test_a_gate_that_is_started_anew_counts_on() -> None:
    """It begins at zero again; what it altered before stays counted."""
    measures = TrialMeasures()
    for total in (41, 44, 1, 2):
        measures.count_clipped(total)
    assert measures.to_dict()['clipped'] == 5


def test_summary_of_latencies() -> None:
    """Count, mean, median, 95th percentile and worst, in seconds."""
    found = summary([0.1] * 95 + [0.9] * 5)
    assert found['count'] == 100 and found['worst'] == 0.9 and found['median'] == 0.1
    assert found['mean'] == pytest.approx(0.14) and 0.1 <= found['p95'] <= 0.9
