# SPDX-License-Identifier: Apache-2.0
"""A whole trial from a keyboard, through the same door as the page."""

from typing import Any

import pytest

from vla_drop_ros.console.keyboard import Keyboard
from vla_drop_ros.console.server import Console
from vla_drop_ros.errors import TrialError


def test_trials_by_keys(console: Console, desk: Any) -> None:
    """Space starts and stops; letters judge; digits choose the stage or the reason."""
    keyboard = Keyboard(console.url, 'ann')
    for key in '  suf2  i2  p1  f0':
        keyboard.key(key)
    attempts = desk.conductor.attempts
    assert [(one.verdict, one.reason, one.stage) for one in attempts[:4]] == [
        ('failure', 'dropped', ''), ('invalid', 'emergency_stop', ''), ('partial', '', 'reached'),
        ('failure', '', '')]
    assert attempts[0].undone == ['success'] and attempts[0].who == 'ann'


def test_what_goes_with_a_verdict_by_keys(console: Console, desk: Any) -> None:
    """Incidents while it runs and after; doubt and stages go with the verdict, then are gone."""
    keyboard = Keyboard(console.url)
    assert 'stop the trial first' in keyboard.key('d')
    for key in (' ', 'm', 'c', ' ', 'x', 'v'):
        keyboard.key(key)
    assert keyboard.key('y') == ('Was the hand above the named object? yes; '
                                 'Was the named object lifted off the table?')
    assert keyboard.key('n').endswith('no; now the verdict')
    assert keyboard.key('y') == 'every stage is answered'
    assert keyboard.key('d') == 'the verdict will be unsure'
    for key in 's  s':
        keyboard.key(key)
    first, second = desk.conductor.attempts[:2]
    assert [one.kind for one in first.incidents] == ['near_miss', 'intervention']
    assert (first.confidence, first.answers) == ('unsure', {'reached': True, 'grasped': False})
    assert (second.confidence, second.answers, second.incidents) == ('sure', {}, [])


def test_what_is_about_no_verdict_by_keys(console: Console, desk: Any) -> None:
    """The scene is arranged, a rehearsal begins and ends, people leave and guess, it ends."""
    keyboard = Keyboard(console.url, 'ann')
    assert keyboard.key('a') == 'arranged: trial 1' and 'already' in keyboard.key('a')
    assert desk.kinds('arranged')[0]['who'] == 'ann'
    assert keyboard.key('r') == 'policy and scene are prepared again'
    assert [keyboard.key('t'), keyboard.key('t')] == ['a rehearsal', 'this counts']
    assert 'l leaves' in keyboard.key('g')
    for key in '  s':
        keyboard.key(key)
    assert keyboard.key('l') == 'which one was it?'
    assert keyboard.key('g') == 'trial 1: 1 baseline, 2 pruned, 3 cannot tell'
    assert keyboard.key('2') == 'guess: trial 1' and desk.conductor.attempts[0].guess == 'pruned'
    assert 'nobody asks' in keyboard.key('g')
    assert 'has no answer yet' in keyboard.key('e')
    assert keyboard.key('n') == 'nothing pressed' and not desk.kinds('finished')
    for code in ('2', '3', '4'):
        desk.may_stop = code == '4'
        for key in '  s':
            keyboard.key(key)
    keyboard.look()
    assert 'allows it' in keyboard.key('e') and 'finish' in keyboard.key('y')
    assert desk.kinds('finished')


def test_the_keys_that_can_be_pressed_are_shown(console: Console, desk: Any) -> None:
    """Of each phase its own, in one line; guesses and the end only where they make sense."""
    keyboard = Keyboard(console.url)
    assert keyboard.hint() == (
        'space start, r prepare policy and scene again, t rehearse (try), and end it, l leave for '
        'today, and stay, a the scene is arranged')
    keyboard.key(' ')
    keyboard.look()
    assert keyboard.hint().startswith('space stop, v intervention')
    keyboard.key(' ')
    keyboard.look()
    assert keyboard.hint().startswith('s success, f failure, then why')
    desk.extra |= {'may_finish': True, 'leaving': True}
    keyboard.key('s')
    keyboard.look()
    assert 'u undo' in keyboard.hint() and keyboard.hint().endswith(
        'e end the study, g guess which one it was')


def test_every_reason_has_a_key(console: Console, desk: Any) -> None:
    """The tenth too: a letter after the nine digits."""
    keyboard = Keyboard(console.url)
    desk.extra['failure_reasons'] = [f'reason_{number}' for number in range(1, 12)]
    keyboard.key(' ')
    keyboard.key(' ')
    assert keyboard.key('f').endswith('9 reason_9, a reason_10, b reason_11, 0 no reason')
    assert 'reason_11' in keyboard.key('b'), 'the design does not know it, and says so'


@pytest.mark.parametrize('opened', ['i', 'p', 'f'])
def test_nothing_stands_between_the_space_bar_and_stop(
        console: Console, desk: Any, opened: str) -> None:
    """Who opened a choice while the robot moves stops it with one press."""
    keyboard = Keyboard(console.url)
    for key in (' ', opened, ' '):
        keyboard.key(key)
    assert desk.conductor.phase.value == 'judge'
    keyboard.key(opened)
    assert keyboard.key(' ') == 'nothing pressed'


def test_what_is_not_possible_is_said(console: Console, desk: Any) -> None:
    """A verdict before the stop, an unknown key, a choice that is none: nothing changes."""
    keyboard = Keyboard(console.url.removeprefix('http://'))
    assert 'not possible now' in keyboard.key('s')
    assert 'space: start or stop' in keyboard.key('?')
    assert keyboard.key('i').startswith('invalid: 1 scene_was_wrong, 2 emergency_stop')
    assert keyboard.key('x') == 'nothing pressed'
    assert not any(one.judged for one in desk.conductor.attempts)


def test_a_token_is_needed_where_others_can_listen(desk: Any) -> None:
    """The address as it was printed opens; without its token nothing does."""
    pytest.importorskip('uvicorn')
    with Console(desk, host='0.0.0.0', port=0) as console:
        local = f'http://127.0.0.1:{console.port}/'
        assert Keyboard(f'{local}?token={console.token}').state['phase'] == 'arrange'
        with pytest.raises(TrialError, match='with the token'):
            Keyboard(local)


def test_nobody_there() -> None:
    """A wrong address is named."""
    with pytest.raises(TrialError, match='no console at'):
        Keyboard('http://127.0.0.1:9')
    with pytest.raises(TrialError, match='no address'):
        Keyboard('ftp://somewhere')
