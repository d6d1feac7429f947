# SPDX-License-Identifier: Apache-2.0
"""People see what they need, and nothing that tells the arm."""

from dataclasses import replace
import json
from typing import Any

import pytest

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.guesses import guesses_wanted
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import minutes_left, pairs_done, state_of, suggestion
from vla_drop_ros.trials.study_session import StudySession


def judged(code: int, verdict: str = 'success', index: int | None = None) -> Attempt:
    """Return an attempt that took 10 s."""
    return Attempt(str(code), code - 1 if index is None else index, 0, 'red-left', 'x', 5.0, 15.0,
                   verdict=verdict)


def test_no_word_about_arms(design: Design) -> None:
    """The state of a running study is JSON and holds no arm, token, checkpoint or secret."""
    schedule = SealedSchedule(design, bytes(32))
    conductor = Conductor(design, schedule, lambda kind, data: None, lambda attempts: False)
    conductor.begin()
    session = StudySession(design, conductor, lambda: conductor, resets=False)
    for _ in range(6):
        for verb in ('start', 'stop', 'success'):
            conductor.take(Verb(verb, 'web'), 1.0)
            text = json.dumps(state_of(session, design, 2.0), allow_nan=False)
            for arm in design.arms:
                assert arm.checkpoint not in text and f'"{arm.name}"' not in text
            assert conductor.token() not in text and 'token' not in text


def test_progress_is_told_in_pairs(design: Design) -> None:
    """A pair counts when both arms have run it; the rest of the time is an estimate."""
    counted = [judged(1), judged(2), judged(3)]
    assert pairs_done(counted, 2) == 1
    left = design.stopping.horizon * 2 - 3
    assert minutes_left(counted, design, design.stopping.horizon) == pytest.approx(
        left * (10 + design.rest) / 60, abs=0.1)
    assert minutes_left(counted, design, 0) is None


@pytest.mark.parametrize(('reason', 'verb'), [
    ('timeout', 'failure'), ('policy_fault', 'failure'), ('safety_stop', 'invalid'),
    ('robot_fault', 'invalid'), ('policy_lost', 'invalid'), ('crash', 'invalid'),
    ('detector', 'success'), ('stopped', '')])
def test_what_the_end_suggests(design: Design, reason: str, verb: str) -> None:
    """A policy that fails to act has failed; a robot that was stopped proves nothing."""
    found = suggestion(replace(judged(1), end_reason=reason), design)
    assert (found['verb'] if found else '') == verb
    assert not found or not found['reason'] or found['reason'] in design.invalid_reasons


def test_what_was_noted_is_shown_of_the_current_trial_only(design: Design) -> None:
    """With its time as far as anybody knows it; words that were used, and when to rest."""
    conductor = Conductor(design, SealedSchedule(design, bytes(32)), lambda kind, data: None,
                          lambda attempts: False)
    conductor.begin()
    session = StudySession(design, conductor, lambda: conductor, resets=False)
    for verb, now in (('start', 10.0), ('near_miss', 11.5), ('stop', 12.0), ('collision', 13.0)):
        assert conductor.take(Verb(verb, 'web'), now).done
    state = state_of(session, design, 14.0)
    assert state['incidents'] == [{'kind': 'near_miss', 'seconds': 1.5},
                                  {'kind': 'collision', 'seconds': None}]
    assert state['rest'] == {'minutes_worked': 0, 'due': False}
    conductor.take(Verb('failure', 'web', reason='wrong_object', note='slow'), 14.0)
    conductor.take(Verb('start', 'web'), 15.0)
    state = json.loads(json.dumps(state_of(session, design, 15.0 + 1800.0)))
    assert state['incidents'] == [] and state['notes'] == ['slow']
    assert state['failure_reasons'] == ['wrong_object', 'missed_grasp', 'dropped']
    assert state['rest'] == {'minutes_worked': 30, 'due': True}


def test_guesses_are_asked_of_a_few_trials(design: Design) -> None:
    """Five, spread over the study, each once."""
    attempts = [judged(code) for code in range(1, 31)]
    wanted = guesses_wanted(attempts)
    assert wanted == ['6', '12', '18', '24', '30']
    attempts[5].guess = 'unsure'
    assert guesses_wanted(attempts) == ['12', '18', '24', '30']
    assert guesses_wanted([judged(1, 'invalid')]) == []


def test_who_leaves_is_asked_about_the_trials_of_today(make_cell: Any, design: Design) -> None:
    """Not about those of the session before; the next start ends it."""
    cell = make_cell(design)
    for _ in range(2):
        cell.begin()
        cell.press('stop')
        cell.run(0.3)
        cell.press('success')
        cell.run()
    cell.session.ran_before = 1  # as a session that begins with the second
    assert state_of(cell.session, design, cell.now)['guesses_wanted'] == []
    assert cell.session.press(Verb('leave', 'web', value=True)).done
    state = state_of(cell.session, design, cell.now)
    assert state['leaving'] and state['guesses_wanted'] == ['2']
    assert cell.press('guess', code='2', reason='pruned').done
    assert state_of(cell.session, design, cell.now)['guesses_wanted'] == []
    cell.begin()
    assert not state_of(cell.session, design, cell.now)['leaving']
    assert not cell.session.press(Verb('leave', 'web', value=True)).done
