# SPDX-License-Identifier: Apache-2.0
"""Sessions know how long people worked, and when they rested."""

from datetime import datetime, timedelta, timezone

import pytest

from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sessions import sessions_of, working_time
from vla_drop_ros.trials.log import Event

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=timezone.utc)


def events(*minutes: tuple[float, str]) -> list[Event]:
    """Return a session that begins at nine, and its events."""
    return [Event(place, '', (BEGIN + timedelta(minutes=after)).isoformat(), kind, {})
            for place, (after, kind) in enumerate(((0.0, 'session'), *minutes))]


def test_a_pause_before_a_start_is_a_break() -> None:
    """Ten minutes between judgement and start: a break; a trial of ten minutes is work."""
    found = working_time(events((2, 'started'), (12, 'ended'), (13, 'judged'), (23, 'started'),
                                (24, 'ended'), (25, 'judged'), (26, 'measured')))
    assert found == pytest.approx((25 / 60, 1, 10 / 60, 13 / 60))


def test_setting_up_is_no_break() -> None:
    """Half an hour before the first start is work; a session without a trial has no length."""
    assert working_time(events((30, 'started'), (31, 'ended'))) == pytest.approx(
        (31 / 60, 0, 0.0, 31 / 60))
    assert working_time(events()) == (0.0, 0, 0.0, 0.0)


def test_sessions_hold_their_trials(opened: Results) -> None:
    """Valid trials and successes sum up to those of the study; host and rig are the log's."""
    found = sessions_of(opened.record, opened.rows)
    assert sum(one.trials for one in found) == sum(row.valid for row in opened.rows)
    assert sum(one.successes for one in found) == sum(row.success for row in opened.rows)
    assert found[0].operator == 'ada' and found[0].host['processors'] and not found[0].breaks
