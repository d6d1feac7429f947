# SPDX-License-Identifier: Apache-2.0
"""Trials begin when all machines are ready, and end with a robot that was told to stop."""

from typing import Any

import pytest

from vla_drop_ros.trials.commands import PrepareScene, ResetScene, SendInstruction, UseToken
from vla_drop_ros.trials.course import Course, Phase
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.session_state import state_of


def test_a_trial_from_arrangement_to_verdict(cell: Any) -> None:
    """Silence, token and scene, then the instruction; a seen success stops robot and trial."""
    cell.begin()
    kinds = [type(command) for command in cell.sent]
    assert kinds == [SendInstruction, UseToken, PrepareScene, ResetScene, SendInstruction]
    assert [one.text for one in cell.sent if isinstance(one, SendInstruction)] == [
        '', 'put the red cube in the left bin']
    cell.session.age(0.15)
    cell.session.detect('simulator', '', True, ends=True)
    cell.run()
    assert cell.sent[-1] == SendInstruction('') and cell.phase() is Phase.JUDGE
    assert state_of(cell.session, cell.design, cell.now)['suggestion']['verb'] == 'success'
    measured = next(data for kind, data in cell.events if kind == 'measured')['values']
    assert measured['latency']['median'] == 0.15 and measured['chunks'] == 1
    assert cell.press('success').done
    assert cell.kinds('detected', 'ended', 'judged') == ['detected', 'ended', 'judged']
    cell.run()
    assert isinstance(cell.sent[-1], ResetScene), 'the next scene is arranged at once'


def test_no_start_before_all_are_ready(cell: Any) -> None:
    """Without policy, scene or gate a start is refused with what is missing."""
    cell.deaf = True
    cell.run()
    assert 'policy' in cell.press('start').text and cell.kinds('started') == []
    cell.session.policy('sealed:of another trial')
    cell.run()
    assert 'policy' in cell.press('start').text
    cell.session.policy(f'sealed:{cell.session.conductor.token()}')
    cell.run()
    assert 'reset' in cell.press('start').text
    cell.deaf = False
    cell.run(25.0)  # nobody answered the first time: asked again
    assert cell.session.problem == '' and cell.session.waiting == ''
    cell.session.gate('estopped: pressed')
    cell.run()
    assert 'emergency stop' in cell.press('start').text
    assert state_of(cell.session, cell.design, cell.now)['estop']
    cell.session.gate('holding: no chunk')
    cell.run()
    assert cell.press('start').done


def test_a_refused_token_is_asked_for_again(cell: Any) -> None:
    """People read who refuses and why; not before two seconds are over it is tried again."""
    cell.refusal = 'not enough memory'
    cell.run(1.0)
    assert 'not enough memory' in cell.session.problem
    assert sum(isinstance(one, UseToken) for one in cell.sent) == 1
    cell.refusal = ''
    cell.run(3.0)
    assert cell.session.problem == '' and cell.press('start').done


def test_rehearsal_leaves_no_trace(cell: Any) -> None:
    """Practice trials are not logged, and the study goes on with the trial it was at."""
    cell.run()
    logged = list(cell.events)
    token = cell.session.conductor.token()
    assert cell.press('rehearse', value=True).done and cell.press('rehearse', value=True).done
    cell.begin()
    assert not cell.press('rehearse', value=False).done, 'not in the middle of a trial'
    assert cell.press('stop').done and cell.press('success').done
    cell.session.measure('1', {'bag': {}})
    assert cell.press('rehearse', value=False).done and cell.events == logged
    cell.run()
    assert cell.session.conductor.token() == token and cell.press('start').done


def test_undo_arranges_the_scene_again(cell: Any) -> None:
    """What was prepared for the trial that is taken back has gone stale."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    cell.run()
    assert cell.press('undo').done and cell.phase() is Phase.JUDGE
    assert cell.press('failure').done
    before = len(cell.sent)
    cell.run()
    assert any(isinstance(one, PrepareScene) for one in cell.sent[before:])
    assert Course.of(cell.events).attempts[0].verdict == 'failure'
    assert len([data for kind, data in cell.events if kind == 'measured'
                and 'chunks' in data['values']]) == 1, 'once a trial'


def test_people_arrange_a_real_robot(design: Design, make_cell: Any) -> None:
    """Without a reset service nobody is asked: who presses start says that the scene is ready."""
    cell = make_cell(design, resets=False)
    cell.run()
    assert not any(isinstance(one, PrepareScene | ResetScene) for one in cell.sent)
    assert cell.press('start').done
    cell.run()
    assert cell.sent[-1] == SendInstruction(cell.session.conductor.condition.instruction)


def test_a_real_robot_that_arranges_its_scene_by_itself(design: Design, make_cell: Any) -> None:
    """Its reset is asked for and its answer counts, as long as it takes; once a trial."""
    cell = make_cell(design, resets=True, scenes=False)
    cell.deaf = True
    cell.run(60.0)
    resets = [one for one in cell.sent if isinstance(one, ResetScene)]
    assert len(resets) == 1 and 'policy' in cell.session.waiting
    cell.session.answer(resets[0], True, 'done')
    cell.session.policy(f'sealed:{cell.session.conductor.token()}')
    cell.run()
    assert cell.press('start').done


def test_a_robot_that_dies_while_it_resets_is_asked_again(cell: Any) -> None:
    """When its services are back: nobody answers what was asked of the one before."""
    cell.session.answer(cell.session.tick(0.0, 0.0)[-1], True, '')  # the scene is known
    cell.deaf = True
    cell.run()
    cell.session.tick(cell.now, cell.now, ['simulated_robot/reset'])
    assert not cell.session.policy_ready
    cell.deaf = False
    cell.run()
    assert cell.press('start').done


def test_a_late_reset_is_not_the_next_trials(cell: Any) -> None:
    """An answer to what was asked before an undo says nothing about the scene after it."""
    cell.begin()
    assert cell.press('stop').done and cell.press('success').done
    cell.deaf = True
    cell.run(0.3)
    old = next(one for one in reversed(cell.sent) if isinstance(one, PrepareScene))
    cell.session.answer(old, True, '')
    reset = next(one for one in cell.session.tick(cell.now, cell.now)
                 if isinstance(one, ResetScene))
    assert cell.press('undo').done
    assert cell.press('invalid', reason='reset_failed').done
    cell.session.answer(reset, True, '{"instruction": "go"}')
    cell.run(0.1)
    assert not cell.session.scene_ready


def test_a_start_counts_what_was_said_since_the_last_look(cell: Any) -> None:
    """Nobody starts before the first look, nor after a stop that no tick has seen yet."""
    assert not cell.press('start').done
    cell.run()
    cell.session.gate('estopped: pressed')
    assert 'emergency stop' in cell.press('start').text
    cell.session.gate('holding: no chunk')
    cell.session.policy('sealed:none')
    assert 'policy' in cell.press('start').text and cell.kinds('started') == []


def test_a_stop_ends_whatever_runs(cell: Any) -> None:
    """A robot that was told to stop runs no trial, whichever the presser meant."""
    cell.begin()
    assert cell.press('stop', code='99').done and cell.phase() is Phase.JUDGE


def test_people_say_that_the_scene_is_arranged(make_cell: Any, design: Design) -> None:
    """Once a trial, with how long it took after the one before; a robot says it itself."""
    cell = make_cell(design, resets=False)
    assert cell.session.arranged is False
    cell.begin()
    assert not cell.press('arranged').done, 'it runs'
    cell.press('stop')
    cell.run(0.3)
    cell.press('success')
    cell.run(2.0)
    assert cell.press('arranged').done and not cell.press('arranged').done
    cell.run(3.0)
    assert cell.session.conductor.current.arranged and cell.press('start').done
    prepare = cell.session.measures.prepare
    assert prepare['arranged'] >= 2.0
    assert prepare['arrange'] - prepare['arranged'] == pytest.approx(3.0)
    assert make_cell(design).press('arranged').text == 'the robot arranges the scene itself'


def test_an_undo_takes_the_arrangement_along(make_cell: Any, design: Design) -> None:
    """The scene of the trial that is issued again is to be arranged again."""
    cell = make_cell(design, resets=False)
    cell.begin()
    cell.press('stop')
    cell.press('success')
    cell.run()
    assert cell.press('arranged').done and cell.press('undo').done and cell.press('failure').done
    assert cell.session.arranged is False
    cell.begin()
    assert 'arranged' not in cell.session.measures.prepare


def test_a_guess_without_a_trial_is_about_the_one_that_is_asked(cell: Any) -> None:
    """A button cannot name a trial; before the end it is refused."""
    cell.begin()
    cell.press('stop')
    cell.press('success')
    cell.run()
    assert 'leave first' in cell.press('guess', reason='pruned').text
    assert cell.press('leave', value=True).done and cell.session.guesses_wanted == ['1']
    assert cell.press('guess', reason='pruned').done
    assert cell.session.attempts[0].guess == 'pruned' and cell.session.guesses_wanted == []
