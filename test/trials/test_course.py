# SPDX-License-Identifier: Apache-2.0
"""The state of a study is a function of its events."""

from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.course import Course, Phase
from vla_drop_ros.trials.ratings import Rating

ISSUED = ('issued', {'code': '1', 'index': 0, 'attempt': 0, 'condition': 'a', 'token': '0.0.x'})
STARTED = ('started', {'code': '1', 'stamp': 10.0, 'source': 'web'})
ENDED = ('ended', {'code': '1', 'reason': 'stopped', 'stamp': 14.5})
JUDGED = ('judged', {'code': '1', 'verdict': 'success', 'stage': '', 'reason': '',
                     'progress': 1.0, 'note': '', 'source': 'web', 'who': 'ann'})
NEXT = ('issued', {'code': '2', 'index': 1, 'attempt': 0, 'condition': 'b', 'token': '1.0.y'})


def test_phases_follow_the_events() -> None:
    """Each event leads to the phase in which the next one is awaited."""
    course, phases = Course(), []
    for kind, data in (ISSUED, STARTED, ENDED, JUDGED, NEXT):
        course.apply(kind, data)
        phases.append(course.phase)
    assert phases == [Phase.ARRANGE, Phase.RUNNING, Phase.JUDGE, Phase.ARRANGE, Phase.ARRANGE]
    assert course.attempts[0].duration == 4.5 and course.current.code == '2'


def test_undo_takes_back_what_was_issued_since() -> None:
    """The next trial, not begun, gives its code back; a study that had ended goes on."""
    course = Course.of([ISSUED, STARTED, ENDED, JUDGED, ('finished', {'reason': 'all'})])
    assert course.phase is Phase.FINISHED and course.undoable is course.attempts[0]
    course.apply('undone', {'code': '1', 'source': 'web', 'who': ''})
    assert (course.phase, course.finished, course.current.verdict) == (Phase.JUDGE, '', '')
    assert course.current.undone == ['success']
    course = Course.of([ISSUED, STARTED, ENDED, JUDGED, NEXT, ('undone', {'code': '1'})])
    assert [one.code for one in course.attempts] == ['1']


def test_undo_takes_back_what_the_rule_allowed_by_it() -> None:
    """A round whose last verdict is taken back is not complete: it allows no end."""
    course = Course.of([ISSUED, STARTED, ENDED])
    for _ in range(2):  # however often
        for kind, data in (JUDGED, ('look', {'rounds': 1, 'may_stop': True}), NEXT):
            course.apply(kind, data)
        assert course.may_stop
        course.apply('undone', {'code': '1'})
        assert not course.may_stop


def test_a_trial_whose_end_nobody_saw_has_no_length() -> None:
    """After a crash the log says stamp 0; that is no trial of minus so many seconds."""
    course = Course.of([ISSUED, STARTED, ('ended', {'code': '1', 'reason': 'crash',
                                                    'stamp': 0.0})])
    assert course.current.duration != course.current.duration


def test_a_later_correction_keeps_what_was_there() -> None:
    """A verdict that is corrected with a reason replaces the old one, which stays on record."""
    course = Course.of([ISSUED, STARTED, ENDED, JUDGED, NEXT, (
        'relabelled', {'code': '1', 'verdict': 'failure', 'stage': '', 'reason': 'dropped',
                       'progress': 0.0, 'who': 'bob', 'why': 'video'})])
    assert course.attempts[0].verdict == 'failure' and course.phase is Phase.ARRANGE
    assert course.attempts[0].relabelled == ['success']


def test_what_others_say_of_the_recording_stands_beside_the_verdict() -> None:
    """A rating changes neither verdict nor phase; a correction forgets doubt and answers."""
    doubtful = ('judged', {**JUDGED[1], 'confidence': 'unsure', 'answers': {'reached': True}})
    rated = ('rated', {'code': '1', 'rater': 'R2', 'verdict': 'failure', 'stage': '', 'note': ''})
    course = Course.of([ISSUED, STARTED, ENDED, doubtful, NEXT, rated])
    first = course.attempts[0]
    assert first.ratings == [Rating('R2', 'failure')] and first.verdict == 'success'
    assert (first.confidence, first.answers) == ('unsure', {'reached': True})
    assert course.phase is Phase.ARRANGE
    course.apply('relabelled', {'code': '1', 'verdict': 'failure', 'stage': '', 'reason': '',
                                'progress': 0.0})
    assert (first.confidence, first.answers) == ('sure', {}) and first.ratings


def test_a_log_from_before_incidents_and_doubt_is_read() -> None:
    """What it does not say was sure, answered nothing, and had no incident."""
    first = Course.of([ISSUED, STARTED, ENDED, JUDGED]).attempts[0]
    assert (first.confidence, first.answers, first.incidents, first.ratings) == (
        'sure', {}, [], [])


def test_unknown_events_say_nothing_and_strange_codes_are_refused() -> None:
    """A log of a newer version can be read; one that speaks of other trials can not."""
    assert Course.of([ISSUED, ('weather', {'rain': True})]).phase is Phase.ARRANGE
    with pytest.raises(TrialError, match="trial '7'"):
        Course.of([ISSUED, ('started', {'code': '7', 'stamp': 0.0, 'source': ''})])


def test_it_is_remembered_who_has_seen_the_arms() -> None:
    """The last trial with a verdict is named: it cannot be taken back; later ones can."""
    whole: list[tuple[str, Any]] = [ISSUED, STARTED, ENDED, JUDGED, (
        'finished', {'reason': 'all'})]
    assert Course.of([*whole, ('unblinded', {'who': 'ann', 'ended': True})]).opened == '1'
    assert Course.of([ISSUED, STARTED, ENDED, JUDGED, NEXT, ('unblinded', {})]).opened == '1'
    assert Course.of([ISSUED, STARTED, ENDED, ('unblinded', {'who': 'ann'})]).opened == ''
