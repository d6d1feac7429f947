# SPDX-License-Identifier: Apache-2.0
"""Every button of the page, pressed in a real browser."""

from typing import Any

import pytest

from vla_drop_ros.trials.conductor import Verb

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
BUTTONS = {'start', 'stop', 'success', 'failure', 'partial', 'invalid', 'undo', 'finish', 'reset',
           'arranged'}


def press(page: Any, *buttons: str) -> None:
    """Click buttons, each when it can be; a name that is no button's is a chip's text."""
    for button in buttons:
        if button in BUTTONS:
            page.click(f'#{button}')
        else:
            page.locator('#chips').get_by_role('button', name=button, exact=True).click()


def shows(page: Any, trial: str, phase: str) -> None:
    """Wait until the page shows a trial and a phase."""
    sync_api.expect(page.locator('h1')).to_have_text(trial)
    page.wait_for_selector(f'body[data-phase={phase}]')


def seen(page: Any) -> set[str]:
    """Return the buttons on the screen."""
    return {name for name in BUTTONS if page.is_visible(f'#{name}')}


@pytest.mark.parametrize('buttons, verdict', [
    (['success'], ('success', '', '')),
    (['failure', 'missed grasp'], ('failure', 'missed_grasp', '')),
    (['failure', 'no reason'], ('failure', '', '')),
    (['partial', 'Was the named object lifted off the table?'], ('partial', '', 'grasped')),
    (['invalid', 'camera lost'], ('invalid', 'camera_lost', ''))])
def test_a_whole_trial(buttons: list[str], verdict: tuple[str, str, str], desk: Any,
                       page: Any) -> None:
    """Start, stop and a verdict with its reason or stage, a note and a name."""
    page.click('#who')
    page.fill('#name', 'ada')
    page.click('#settings-close')
    press(page, 'start')
    shows(page, 'Trial 1', 'running')
    assert seen(page) == {'stop'}
    press(page, 'stop')
    shows(page, 'Trial 1', 'judge')
    assert seen(page) == {'success', 'failure', 'partial', 'invalid'}
    page.fill('#note', 'slipped: s f p u')
    press(page, *buttons)
    shows(page, 'Trial 2', 'arrange')
    assert seen(page) == {'start', 'undo', 'arranged'}
    first = desk.conductor.attempts[0]
    assert (first.verdict, first.reason, first.stage) == verdict
    assert (first.note, first.who, first.source) == ('slipped: s f p u', 'ada', 'web')
    assert page.input_value('#note') == ''
    sync_api.expect(page.locator('#toast')).to_have_text(f'trial 1: {verdict[0]}')


def test_undo_takes_back_and_cancel_takes_nothing(desk: Any, page: Any) -> None:
    """The verdict is judged again; a sheet that is cancelled sends nothing."""
    press(page, 'start', 'stop', 'success')
    shows(page, 'Trial 2', 'arrange')
    sync_api.expect(page.locator('#undo')).to_have_text('Undo trial 1')
    press(page, 'undo')
    shows(page, 'Trial 1', 'judge')
    press(page, 'failure')
    page.click('#sheet-cancel')
    assert not desk.conductor.current.judged
    press(page, 'failure', 'dropped')
    shows(page, 'Trial 2', 'arrange')
    assert desk.conductor.attempts[0].undone == ['success']


def test_start_waits_for_what_is_missing(desk: Any, page: Any) -> None:
    """What is missing is said in words; preparing again makes it ready."""
    desk.ready['scene'], desk.extra['waiting'] = False, 'the robot is being reset'
    sync_api.expect(page.locator('#waiting')).to_have_text('The robot is being reset')
    sync_api.expect(page.locator('#start')).to_be_disabled()
    assert seen(page) == {'start', 'reset', 'arranged'}
    desk.extra['waiting'] = ''
    press(page, 'reset')
    sync_api.expect(page.locator('#start')).to_be_enabled()
    assert seen(page) == {'start', 'arranged'}
    press(page, 'arranged')
    page.wait_for_selector('#arranged', state='hidden')
    assert [one['code'] for one in desk.kinds('arranged')] == ['1']


def test_an_emergency_stop_is_large_and_red(desk: Any, page: Any) -> None:
    """No trial starts, the banner says why, and all is well again afterwards."""
    desk.extra.update(estop=True, gate='estopped: button at the table')
    sync_api.expect(page.locator('#estop')).to_have_text('Emergency stop: button at the table')
    sync_api.expect(page.locator('#start')).to_be_disabled()
    red = page.evaluate("getComputedStyle(document.getElementById('estop')).backgroundColor")
    assert red == 'rgb(240, 82, 79)'
    desk.extra.clear()
    sync_api.expect(page.locator('#estop')).to_be_hidden()
    sync_api.expect(page.locator('#start')).to_be_enabled()


def test_a_suggestion_is_offered_and_waits(desk: Any, page: Any) -> None:
    """After a timeout FAIL is marked, nothing is sent, and enter takes it."""
    press(page, 'start', 'stop')
    desk.extra['suggestion'] = {'verb': 'failure', 'reason': 'dropped', 'why': 'time is up'}
    page.wait_for_selector('#failure.suggested:enabled')
    assert 'Time is up' in page.inner_text('#hint') and not desk.conductor.current.judged
    page.keyboard.press('Enter')
    sync_api.expect(page.locator('#chips .suggested')).to_have_text('dropped')
    page.keyboard.press('Enter')
    desk.extra.clear()
    shows(page, 'Trial 2', 'arrange')
    assert desk.conductor.attempts[0].reason == 'dropped'


def test_a_double_tap_on_stop_judges_nothing(desk: Any, page: Any) -> None:
    """The button that comes up under the finger takes no press for a moment."""
    press(page, 'start')
    page.wait_for_selector('#stop:enabled')
    box = page.locator('#stop').bounding_box()
    page.mouse.dblclick(box['x'] + 0.2 * box['width'], box['y'] + 0.5 * box['height'])
    shows(page, 'Trial 1', 'judge')
    sync_api.expect(page.locator('#success')).to_be_enabled()
    assert not desk.conductor.current.judged and not desk.kinds('refused')


def test_keys(desk: Any, page: Any) -> None:
    """Space starts and stops, letters judge, digits choose; a held key presses once."""
    page.wait_for_selector('#start:enabled')
    page.keyboard.down(' ')
    page.wait_for_selector('#stop:enabled')
    page.keyboard.down(' ')  # what a held key sends
    page.keyboard.up(' ')
    assert desk.state()['phase'] == 'running'
    page.keyboard.press(' ')
    page.wait_for_selector('#failure:enabled')
    page.keyboard.press('f')
    page.keyboard.press('3')
    page.wait_for_selector('#undo:enabled')
    page.keyboard.press('u')
    page.wait_for_selector('#partial:enabled')
    page.keyboard.press('p')
    page.keyboard.press('1')
    for key, verdict in (('s', 'success'), ('i', 'invalid')):
        page.wait_for_selector('#start:enabled')
        page.keyboard.press(' ')
        page.wait_for_selector('#stop:enabled')
        page.keyboard.press(' ')
        page.wait_for_selector(f'#{verdict}:enabled')
        page.keyboard.press(key)
        if key == 'i':
            page.keyboard.press('2')
    shows(page, 'Trial 4', 'arrange')
    assert [(one.verdict, one.reason, one.stage) for one in desk.conductor.attempts[:3]] == [
        ('partial', '', 'reached'), ('success', '', ''), ('invalid', 'emergency_stop', '')]
    assert desk.conductor.attempts[0].undone == ['failure']


def test_letters_in_the_note_are_no_presses(desk: Any, page: Any) -> None:
    """Typing goes into the note until escape; then keys are buttons again."""
    press(page, 'start', 'stop')
    page.wait_for_selector('#success:enabled')
    page.type('#note', 's u i f p')
    assert page.input_value('#note') == 's u i f p' and not page.is_visible('#sheet')
    page.keyboard.press('Escape')
    page.keyboard.press('s')
    shows(page, 'Trial 2', 'arrange')
    assert desk.conductor.attempts[0].note == 's u i f p'


def test_rehearsal_is_a_switch(desk: Any, page: Any) -> None:
    """It is turned on and off in the settings, and the page cannot be mistaken for a trial."""
    for on, text in ((True, 'Rehearsal 1'), (False, 'Trial 1')):
        page.click('#who')
        page.click('#rehearse')
        sync_api.expect(page.locator('h1')).to_have_text(text)
        assert page.is_visible('#rehearsal') is on and desk.extra['rehearsal'] is on


def run_trials(desk: Any, count: int) -> None:
    """Run whole trials without the page."""
    for _ in range(count):
        for verb in ('start', 'stop', 'success'):
            assert desk.press(Verb(verb, 'simulator')).done


def test_finish_and_guess(desk: Any, page: Any) -> None:
    """When the rule allows it the study is finished in two steps, and guesses are asked for."""
    run_trials(desk, 3)
    sync_api.expect(page.locator('#rule')).to_have_text('continue')
    assert 'finish' not in seen(page)
    desk.may_stop = True
    run_trials(desk, 1)
    sync_api.expect(page.locator('#rule')).to_have_text('you may stop')
    press(page, 'finish', 'Finish')
    shows(page, 'Finished', 'finished')
    assert seen(page) == {'undo'} and desk.kinds('finished')
    for code, words in (('1', 'baseline'), ('2', 'pruned'), ('3', 'cannot tell'),
                        ('4', 'cannot tell')):
        page.get_by_role('button', name=f'Trial {code}: {words}').click()
        page.wait_for_selector(f'#guess-list li[data-code="{code}"]', state='detached')
    sync_api.expect(page.locator('#guesses')).to_be_hidden()
    assert [one.guess for one in desk.conductor.attempts[:4]] == [
        'baseline', 'pruned', 'unsure', 'unsure']


def test_who_leaves_is_asked_to_guess(desk: Any, page: Any) -> None:
    """Between two trials, for as long as people want; the study goes on another day."""
    run_trials(desk, 2)
    shows(page, 'Trial 3', 'arrange')
    assert not page.is_visible('#guesses')
    for leaving in (True, False, True):
        page.click('#who')
        page.click('#leave')
        sync_api.expect(page.locator('#guesses')).to_be_visible(visible=leaving)
    page.get_by_role('button', name='Trial 2: pruned').click()
    sync_api.expect(page.locator('#guess-list li')).to_have_count(1)
    assert desk.conductor.attempts[1].guess == 'pruned'
    page.get_by_role('button', name='Trial 1: cannot tell').click()
    sync_api.expect(page.locator('#guesses')).to_be_hidden()
