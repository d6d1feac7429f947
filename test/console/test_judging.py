# SPDX-License-Identifier: Apache-2.0
"""What may go with a verdict, said in a real browser; the verdict itself stays one tap."""

from collections.abc import Callable
import threading
from typing import Any

import pytest

from vla_drop_ros.console.server import Console
from vla_drop_ros.trials.conductor import Reply, Verb

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')


def judged(desk: Any, verdict: str, **more: Any) -> None:
    """Run a whole trial without the page."""
    for verb in (Verb('start', 'web'), Verb('stop', 'web'), Verb(verdict, 'web', **more)):
        assert desk.press(verb).done


@pytest.fixture(name='judging')
def _judging(desk: Any, page: Any) -> Any:
    """Return a page on which trial 1 waits for its verdict."""
    page.click('#start')
    page.click('#stop')
    page.wait_for_selector('#success:enabled')
    return page


def test_a_verdict_is_one_tap_and_says_nothing_more(desk: Any, judging: Any) -> None:
    """Who answers nothing is sure, and no stage is invented."""
    judging.click('#success')
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 2')
    first = desk.conductor.attempts[0]
    assert (first.confidence, first.answers, first.note) == ('sure', {}, '')


def test_stages_are_tapped_through(desk: Any, judging: Any) -> None:
    """One question at a time; what was said can be said again, and goes with the verdict."""
    asked = judging.locator('#asked')
    sync_api.expect(asked).to_have_text('1/2 Was the hand above the named object?')
    judging.click('#no')
    judging.click('#ask-again')
    judging.click('#yes')
    sync_api.expect(asked).to_have_text('2/2 Was the named object lifted off the table?')
    judging.click('#no')
    sync_api.expect(asked).to_have_text('reached: yes, grasped: no')
    assert not judging.is_visible('#yes')
    judging.click('#unsure')
    judging.click('#success')
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 2')
    first = desk.conductor.attempts[0]
    assert first.answers == {'reached': True, 'grasped': False}
    assert first.confidence == 'unsure'
    sync_api.expect(judging.locator('#toast')).to_have_text('trial 1: success, unsure')


def test_they_can_be_said_in_the_sheet_too(desk: Any, judging: Any) -> None:
    """Who says FAIL or PARTIAL first finds the questions there; the last yes is the stage."""
    judging.click('#failure')
    judging.locator('#sheet').get_by_role('button', name='Yes').click()
    judging.click('#sheet-cancel')
    sync_api.expect(judging.locator('#asked')).to_have_text(
        '2/2 Was the named object lifted off the table?')
    assert judging.locator('#judging #rubric').is_visible()  # back in its place
    judging.keyboard.press('p')
    judging.keyboard.press('n')
    chosen = judging.locator('#chips .suggested')
    sync_api.expect(chosen).to_have_text('Was the hand above the named object?')
    judging.keyboard.press('Enter')
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 2')
    first = desk.conductor.attempts[0]
    assert (first.verdict, first.stage) == ('partial', 'reached')
    assert first.answers == {'reached': True, 'grasped': False}


def test_nothing_goes_over_to_the_next_trial(desk: Any, judging: Any) -> None:
    """Doubt and answers are of one trial, also when its verdict is taken back."""
    for key in 'yd':
        judging.keyboard.press(key)
    judging.click('#success')
    judging.wait_for_selector('#undo:enabled')
    judging.click('#undo')
    judging.wait_for_selector('#success:enabled')
    assert judging.get_attribute('#unsure', 'aria-pressed') == 'false'
    judging.keyboard.press('s')
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 2')
    first = desk.conductor.attempts[0]
    assert (first.undone, first.confidence, first.answers) == (['success'], 'sure', {})


def test_a_note_for_a_trial_that_somebody_else_judged_is_not_the_next_ones(
        desk: Any, judging: Any) -> None:
    """A gamepad was faster; what was half written is gone with the trial that it was about."""
    judging.type('#note', 'the bin moved')
    desk.press(Verb('failure', 'joy'))
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 2')
    judging.click('#start')
    judging.click('#stop')
    judging.click('#success')
    sync_api.expect(judging.locator('h1')).to_have_text('Trial 3')
    assert [one.note for one in desk.conductor.attempts[:2]] == ['', '']


def test_words_that_were_used_are_near(desk: Any, page: Any) -> None:
    """Reasons come most used first; notes become chips that are put into the note and out."""
    for _ in range(2):
        judged(desk, 'failure', reason='wrong_object', note='the bin moved')
    judged(desk, 'success', note='slow')
    judged(desk, 'success', note='x' * 61)  # no words for a button
    desk.press(Verb('start', 'web'))
    desk.press(Verb('stop', 'web'))
    page.wait_for_selector('#failure:enabled')
    assert page.locator('#notes button').all_inner_texts() == ['the bin moved', 'slow']
    for name in ('slow', 'the bin moved', 'slow'):
        page.locator('#notes').get_by_role('button', name=name).click()
    page.type('#note', '; so it was')
    page.click('#failure')
    assert page.locator('#chips button').all_inner_texts() == [
        'wrong object', 'missed grasp', 'dropped', 'no reason']
    page.keyboard.press('1')
    sync_api.expect(page.locator('h1')).to_have_text('Trial 6')
    fifth = desk.conductor.attempts[4]
    assert (fifth.reason, fifth.note) == ('wrong_object', 'the bin moved; so it was')


def test_incidents_are_counted_and_taken_back(desk: Any, page: Any) -> None:
    """By tap and by key, while it runs and while it is judged, until the verdict."""
    assert not page.is_visible('#incidents')
    page.click('#start')
    page.click('#near_miss')
    page.wait_for_selector('#near_miss[data-count="1"]:enabled')
    page.keyboard.press('m')
    page.wait_for_selector('#near_miss[data-count="2"]:enabled')
    page.click('#stop')
    page.wait_for_selector('#collision:enabled')
    page.keyboard.press('c')
    page.wait_for_selector('#collision[data-count="1"]:enabled')
    page.click('#forget')
    page.wait_for_selector('#collision[data-count=""]:enabled')
    page.keyboard.press('v')
    page.wait_for_selector('#intervention[data-count="1"]:enabled')
    assert page.get_attribute('#near_miss', 'aria-label') == 'Near miss, 2 noted'
    page.click('#success')
    sync_api.expect(page.locator('h1')).to_have_text('Trial 2')
    assert not page.is_visible('#incidents')
    first = desk.conductor.attempts[0]
    assert [one.kind for one in first.incidents] == ['near_miss', 'near_miss', 'intervention']
    assert first.verdict == 'success' and first.incidents[0].source == 'web'


def test_an_incident_on_its_way_holds_nobody_from_stopping(
        desk: Any, page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the press is not answered the robot can be stopped, and is not judged yet."""
    page.click('#start')
    page.wait_for_selector('#stop:enabled')
    take, held = desk.press, threading.Event()

    def press(verb: Verb) -> Reply:
        if verb.name == 'collision':
            assert held.wait(30.0)
        reply: Reply = take(verb)
        return reply

    monkeypatch.setattr(desk, 'press', press)
    page.click('#collision')
    page.click('#stop')
    page.wait_for_selector('body[data-phase=judge]')
    sync_api.expect(page.locator('#success')).to_be_visible()
    assert page.is_disabled('#success')
    held.set()
    sync_api.expect(page.locator('#success')).to_be_enabled()
    assert [one.kind for one in desk.conductor.current.incidents] == ['collision']


def test_a_rest_is_proposed_and_blocks_nothing(
        desk: Any, console: Console, open_page: Callable[..., Any]) -> None:
    """It is said between trials, and the next can be started all the same."""
    page = open_page(console.url)
    page.wait_for_selector('#start:enabled')
    assert not page.is_visible('#rest')
    desk.extra['rest'] = {'minutes_worked': 34, 'due': True}
    sync_api.expect(page.locator('#rest')).to_contain_text('34 min without a break')
    page.click('#start')
    page.wait_for_selector('#stop:enabled')
    assert not page.is_visible('#rest')
