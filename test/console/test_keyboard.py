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
    for key in (' ', ' ', 's', 'u', 'f', ' ', ' ', 'i', '2', ' ', ' ', 'p', '1'):
        keyboard.key(key)
    attempts = desk.conductor.attempts
    assert [(one.verdict, one.reason, one.stage) for one in attempts[:3]] == [
        ('failure', '', ''), ('invalid', 'emergency_stop', ''), ('partial', '', 'reached')]
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


@pytest.mark.parametrize('opened', ['i', 'p'])
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
