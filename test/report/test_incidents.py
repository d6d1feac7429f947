# SPDX-License-Identifier: Apache-2.0
"""Incidents are counted by arm as the log says them, in trials that count and in others."""

from collections import Counter
import json

from vla_drop_ros.report.comparison import duos_of
from vla_drop_ros.report.incidents import ANY, incidents_of, number_of
from vla_drop_ros.report.results import Results
from vla_drop_ros.trials.incidents import INCIDENTS


def test_they_are_those_of_the_log(opened: Results) -> None:
    """All events are there, each with its arm, and the pairs hold those that count."""
    found = opened.incidents
    assert found is not None
    events = Counter(event.data['kind'] for _, event in opened.record.events('incident'))
    assert found.all == sum(events.values()) > 5
    for kind in INCIDENTS:
        everywhere = sum(number_of(row, kind) for row in opened.rows)
        assert everywhere == events[kind] == opened.protocol.incidents[kind]
        test = found.comparisons['lean9'][kind]
        assert (test.baseline, test.candidate) == tuple(one.counts[kind] for one in found.arms)
    for one in found.arms:
        assert one.counts[ANY] == sum(one.counts[kind] for kind in INCIDENTS)
        assert one.rates[ANY].low <= one.counts[ANY] / one.trials <= one.rates[ANY].high
        assert one.affected <= min(one.trials, one.counts[ANY])
    assert {one.kind for one in found.told} <= {'collision'}
    json.dumps(opened.to_dict()['incidents'], allow_nan=False)


def test_without_incidents_all_is_zero(opened: Results) -> None:
    """No incident: rates of 0 with an upper bound, and p = 1."""
    from dataclasses import replace
    rows = [replace(row, incidents=()) for row in opened.rows]
    found = incidents_of(rows, ['whole9', 'lean9'], {'lean9': duos_of(rows, 'lean9', 'whole9')})
    assert found.all == 0 and found.told == ()
    assert found.arms[0].rates[ANY].high > 0.0
    assert found.comparisons['lean9'][ANY].p_value == 1.0
