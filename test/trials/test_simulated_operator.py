# SPDX-License-Identifier: Apache-2.0
"""A simulated person carries a study from the first trial to the last guess."""

import json

import pytest

from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.session_state import state_of
from vla_drop_ros.trials.simulated_operator import SimulatedOperator
from vla_drop_ros.trials.study_session import StudySession


@pytest.mark.parametrize(('slips', 'spoiled', 'early', 'remarks'), [
    (0.0, 0.0, False, 0.0), (0.2, 0.1, False, 0.1), (0.1, 0.0, True, 0.2)])
def test_a_whole_study(design: Design, slips: float, spoiled: float, early: bool,
                       remarks: float) -> None:
    """Its verdicts are the truth in the end, whatever it pressed wrongly in between."""
    schedule = SealedSchedule(design, bytes(32))

    def rule(attempts: list[Attempt]) -> bool:
        return len(attempts) >= 24

    conductor = Conductor(design, schedule, lambda kind, data: None, rule)
    conductor.begin()
    session = StudySession(design, conductor, lambda: conductor, resets=False)
    session.gate('holding')
    operator = SimulatedOperator(3, slips, spoiled, early, remarks)
    truth: dict[int, bool] = {}
    for _ in range(5000):
        session.policy(f'sealed:{conductor.token()}')
        session.tick(1.0, 1.0)
        verb = operator.answer(state_of(session, design, 1.0))
        if verb is None:
            break
        assert session.press(verb).done, verb
        if verb.name == 'start':
            index = conductor.current.index
            truth[index] = index % 3 == 0
            operator.look(json.dumps({'success': truth[index], 'target': 'red',
                                      'moved_object': 'red' if index % 2 else 'blue'}))
            conductor.take(Verb('stop', 'robot'), 2.0)
    counted = [one for one in conductor.attempts if one.counts]
    assert conductor.course.finished and len(counted) == (24 if early else 120)
    assert all(one.success == truth[one.index] for one in counted)
    assert {one.reason for one in counted} <= {'', 'wrong_object', 'missed_grasp'}
    assert sum(one.guess != '' for one in counted) == 5
    assert bool(spoiled) == any(one.verdict == 'invalid' for one in conductor.attempts)
    assert bool(remarks) == any(one.incidents for one in conductor.attempts)
    assert bool(remarks) == any(one.confidence == 'unsure' for one in counted)
    assert bool(slips) == any(one.undone for one in conductor.attempts)


def test_it_waits_while_something_is_missing(design: Design) -> None:
    """It presses nothing that would be refused."""
    operator = SimulatedOperator()
    state = {'phase': 'arrange', 'code': '1', 'undo': '', 'may_stop': False, 'waiting': 'reset'}
    assert operator.answer(state) is None
    assert operator.answer({**state, 'waiting': ''}) == Verb('start', 'simulated operator',
                                                            code='1')


def test_a_slip_is_mended_with_what_was_seen(design: Design) -> None:
    """When the wrong verdict has been taken back the scene may be that of the next trial."""
    operator = SimulatedOperator(slips=1.0)
    judge = {'phase': 'judge', 'code': '1', 'undo': '', 'rubric': [], 'suggestion': None,
             'failure_reasons': ['wrong_object'], 'invalid_reasons': ['reset_failed']}
    operator.look(json.dumps({'success': False, 'moved_object': 'red', 'target': 'blue'}))
    assert operator.answer(judge) == Verb('success', 'simulated operator', code='1',
                                          confidence='sure')
    operator.look(json.dumps({'success': True, 'moved_object': None, 'target': 'green'}))
    undone = operator.answer({**judge, 'phase': 'arrange', 'code': '2', 'undo': '1'})
    assert undone == Verb('undo', 'simulated operator', code='1')
    again = operator.answer(judge)
    assert again is not None and (again.name, again.reason) == ('failure', 'wrong_object')
