# SPDX-License-Identifier: Apache-2.0
"""What a trial left behind is summed up in plain numbers."""

import json

import pytest

from vla_drop_ros.trials.trial_measures import CommandPace, summary, TrialMeasures


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


def test_pace_of_commands() -> None:
    """Rate from the first to the last, the longest gap; the delay before the first is neither."""
    pace = CommandPace()
    for stamp in (5.0, 5.02, 5.04, 5.14, 5.16, 5.1, float('nan')):
        pace.add(stamp)
    assert pace.to_dict() == {'commands': 5, 'rate': 25.0, 'longest_gap': 0.1}


@pytest.mark.parametrize(('stamps', 'found'), [
    ([], {}), ([5.0], {'commands': 1}), ([5.0, 5.0], {'commands': 2})])
def test_a_pace_needs_two_commands(stamps: list[float], found: dict[str, int]) -> None:
    """One has no rate, nor have two at the same time."""
    pace = CommandPace()
    for stamp in stamps:
        pace.add(stamp)
    assert pace.to_dict() == found


def test_all_that_was_measured() -> None:
    """Each part under its own name, in plain JSON types."""
    measures = TrialMeasures(started=1.0, prepare={'policy': 0.51234}, host={'cpu': 0.5})
    measures.motion.add(1.5, [0.0, 0.0, 0.0])
    measures.control.add(1.5)
    found = measures.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found == {
        'chunks': 0, 'instruction': '', 'prepare': {'policy': 0.512}, 'motion': {'samples': 1},
        'control': {'commands': 1}, 'host': {'cpu': 0.5}}
