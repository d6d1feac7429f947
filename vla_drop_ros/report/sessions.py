# SPDX-License-Identifier: Apache-2.0
"""Who worked when, and when they rested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.log import Event
from vla_drop_ros.trials.rest import PAUSE

WORK = ('started', 'ended', 'judged')  # events of people at work


@dataclass(frozen=True, slots=True)
class Session:
    """From when somebody sat down until the last trial before the next session.

    Attributes:
        log: uuid.
        robot: name.
        number: in the log.
        operator: pseudonym.
        begun: UTC.
        hours: from the begin to the last thing that was done.
        breaks: pauses of five minutes and more between trials.
        rested: their length together, [h].
        longest: work without such a pause, the longest, [h].
        trials: valid ones.
        successes: of these, arms together.
        host: the computer, as the log says.
        rig: the robot and its place, as the log says.

    """

    log: str
    robot: str
    number: int
    operator: str
    begun: str
    hours: float
    breaks: int
    rested: float
    longest: float
    trials: int
    successes: int
    host: Mapping[str, Any]
    rig: Mapping[str, Any]


def sessions_of(record: StudyRecord, rows: Sequence[TrialRow]) -> tuple[Session, ...]:
    """Return the sessions of all logs."""
    found = []
    for log in record.logs.values():
        begins = [place for place, event in enumerate(log.events) if event.kind == 'session']
        for place, end in zip(begins, [*begins[1:], len(log.events)], strict=True):
            event = log.events[place]
            number = int(event.data.get('session', 0))
            mine = [row for row in rows if row.valid and row.log == log.uuid
                    and row.session == number]
            found.append(Session(
                log.uuid, str(event.data.get('robot', '')), number,
                str(event.data.get('operator', '')), event.wall,
                *working_time(log.events[place:end]), len(mine),
                sum(row.success for row in mine), _host(event.data),
                dict(event.data.get('rig') or {})))
    return tuple(found)


def _host(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the computer; older logs have its packages beside it."""
    found = dict(data.get('host') or {})
    return found | ({'packages': data['versions']} if data.get('versions') else {})


def working_time(events: Sequence[Event]) -> tuple[float, int, float, float]:
    """Return hours, breaks, hours of breaks and hours of the longest work without one.

    A trial that runs is work, however long: a break lies before a start.

    Args:
        events: of one session, from its begin on.

    """
    seen = events[0], *(event for event in events[1:] if event.kind in WORK)
    begun = last = stretch = datetime.fromisoformat(seen[0].wall)
    breaks, rested, longest = 0, 0.0, 0.0
    for event in seen[1:]:
        now = datetime.fromisoformat(event.wall)
        pause = (now - last).total_seconds()
        if event.kind == 'started' and pause >= PAUSE and last > begun:
            breaks, rested = breaks + 1, rested + pause
            stretch = now
        longest = max(longest, (now - stretch).total_seconds())
        last = now
    return (last - begun).total_seconds() / 3600, breaks, rested / 3600, longest / 3600
