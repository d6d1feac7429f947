# SPDX-License-Identifier: Apache-2.0
"""The page as people have it open: several of them, reloaded, cut off, attacked."""

from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import re
import threading
from typing import Any

import pytest

from vla_drop_ros.console.server import Console
from vla_drop_ros.trials.conductor import Reply, Verb
from vla_drop_ros.trials.incidents import INCIDENTS

sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')


def test_it_shows_progress_and_the_scene_and_no_arm(desk: Any, page: Any) -> None:
    """Title, progress, the scene in words, the instruction; nothing that could unblind."""
    text = page.inner_text('body')
    for words in ('Half of the language blocks, on pick and place', '0 of 4 pairs, about 1 h 40',
                  desk.conductor.condition.setup, desk.conductor.condition.instruction):
        assert words in text
    assert page.inner_text('h1') == 'Trial 1'
    assert not [arm.checkpoint for arm in desk.design.arms if arm.checkpoint in page.content()]


def test_the_next_scene_is_spoken(desk: Any, page: Any) -> None:
    """After a verdict the next scene is said in words; switched off, nothing is."""
    def run(code: str) -> None:
        for verb in ('start', 'stop', 'success'):
            assert desk.press(Verb(verb, 'simulator')).done
        sync_api.expect(page.locator('h1')).to_have_text(f'Trial {code}')

    run('2')
    condition = desk.conductor.condition
    assert page.evaluate('said') == [
        f'Trial 2. {condition.setup}. {condition.instruction}.']
    page.click('#who')
    page.uncheck('#speech')
    page.click('#settings-close')
    run('3')
    assert len(page.evaluate('said')) == 1


def test_two_people_at_once_give_one_verdict(
        desk: Any, console: Console, page: Any, open_page: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Both press before either is answered: one is taken, the other is told why not."""
    other = open_page(console.url)
    page.click('#start')
    other.click('#stop')
    for one in (page, other):
        one.wait_for_selector('#success:enabled')
    take, together = desk.press, threading.Barrier(2)

    def press(verb: Verb) -> Reply:
        together.wait(timeout=30.0)
        reply: Reply = take(verb)
        return reply

    monkeypatch.setattr(desk, 'press', press)
    page.click('#success')
    other.click('#success')
    toasts = []
    for one in (page, other):
        sync_api.expect(one.locator('#toast')).to_have_text(
            re.compile('^(trial 1: success|Refused: .*trial 1.*)$'))
        sync_api.expect(one.locator('h1')).to_have_text('Trial 2')
        toasts.append(one.inner_text('#toast'))
    assert len(desk.kinds('judged')) == 1
    assert sorted(text.startswith('Refused') for text in toasts) == [False, True], toasts


def test_a_reload_in_mid_trial_loses_nothing(desk: Any, page: Any) -> None:
    """The running trial is there again, its clock goes on, and it is stopped and judged."""
    page.click('#start')
    page.wait_for_selector('#stop:enabled')
    page.reload()
    page.wait_for_selector('#stop:enabled')
    assert page.inner_text('h1') == 'Trial 1'
    first = page.inner_text('#clock-text')
    sync_api.expect(page.locator('#clock-text')).not_to_have_text(first)
    page.click('#stop')
    page.click('#success')
    sync_api.expect(page.locator('h1')).to_have_text('Trial 2')
    assert len(desk.kinds('started')) == 1


def test_a_lost_connection_is_large_and_mends_itself(desk: Any, page: Any,
                                                     console: Console) -> None:
    """All buttons go dead, the page says so, and goes on when the server is back."""
    page.click('#start')
    page.wait_for_selector('#stop:enabled')
    console.stop()
    sync_api.expect(page.locator('#lost')).to_contain_text('Connection lost')
    sync_api.expect(page.locator('#lost')).to_be_visible()
    sync_api.expect(page.locator('#stop')).to_be_disabled()
    height = page.locator('#lost p').first.evaluate(
        'one => parseFloat(getComputedStyle(one).fontSize)')
    assert height > 35.0
    console.start()  # takes the same port
    sync_api.expect(page.locator('#lost')).to_be_hidden()
    page.click('#stop')
    page.click('#success')
    sync_api.expect(page.locator('h1')).to_have_text('Trial 2')


def test_a_study_that_hangs_is_said(desk: Any, page: Any) -> None:
    """The connection is up but the trial node says nothing: the page says whose fault it is."""
    with desk.lock:
        sync_api.expect(page.locator('#problem')).to_have_text('The trial node does not answer')
        sync_api.expect(page.locator('#start')).to_be_disabled()
        assert not page.is_visible('#lost')
    sync_api.expect(page.locator('#problem')).to_be_hidden()
    sync_api.expect(page.locator('#start')).to_be_enabled()


def test_the_token_leaves_the_address_and_stays_valid(
        desk: Any, open_page: Callable[..., Any]) -> None:
    """The printed address lets in once; the token is in no history; a reload is let in."""
    with Console(desk, '127.0.0.1', 0, token='opensesame') as console:
        page = open_page(console.url)
        page.click('#start')
        page.wait_for_selector('#stop:enabled')
        assert page.url == f'http://127.0.0.1:{console.port}/'
        assert page.evaluate('document.cookie') == ''
        page.reload()
        page.click('#stop')
        page.wait_for_selector('#success:enabled')
    with Console(desk, '127.0.0.1', console.port, token='another'):
        sync_api.expect(page.locator('#lost-why')).to_contain_text('open the printed address')
        assert not page.is_enabled('#success')


@pytest.mark.parametrize('width, height', [(360, 740), (740, 360), (1280, 800), (860, 600)])
def test_it_fits_the_screen(width: int, height: int, desk: Any, console: Console,
                            open_page: Callable[..., Any]) -> None:
    """Nothing scrolls sideways; every button is whole, on the screen, and finger-sized."""
    for note in ('it slipped out of the fingers', 'the light changed', 'the bin moved a hand'):
        for verb in ('start', 'stop', 'failure'):
            assert desk.press(Verb(verb, 'simulator', note=note)).done
    page = open_page(console.url, width, height)
    for button in ('start', 'stop', 'success', 'undo'):
        page.wait_for_selector(f'#{button}:enabled')
        if button == 'stop':
            for kind in INCIDENTS:
                page.click(f'#{kind}:enabled')
                page.wait_for_selector(f'#{kind}[data-count="1"]:enabled')
        for one in page.query_selector_all('footer button:visible'):
            box = one.bounding_box()
            assert box['height'] >= 44 and box['width'] >= 44
            assert box['x'] >= 0 and box['x'] + box['width'] <= width
            assert box['y'] >= 0 and box['y'] + box['height'] <= height
            assert one.evaluate('it => it.scrollWidth <= it.clientWidth || it.title')
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        if button != 'undo':
            page.click(f'#{button}')


ATTACK = """<!DOCTYPE html><title>attack</title><body><script>
const target = 'http://%s:%d', body = JSON.stringify({verb: 'start', code: '1'});
const tries = ['text/plain', 'application/json', 'application/x-www-form-urlencoded'].flatMap(
  type => ['no-cors', 'cors'].map(mode => fetch(target + '/press', {
    method: 'POST', mode, credentials: 'include', headers: {'content-type': type}, body})
    .then(answer => answer.ok)));
tries.push(fetch(target + '/state', {credentials: 'include'}).then(answer => answer.text()));
tries.push(new Promise((done, failed) => {
  const events = new EventSource(target + '/events', {withCredentials: true});
  events.onmessage = done;
  events.onerror = () => { events.close(); failed(); };
}));
tries.push(new Promise((done, failed) => {
  const image = new Image();
  image.onload = done;
  image.onerror = failed;
  image.src = target + '/camera.jpg';
}));
tries.push(new Promise(done => {
  const frame = document.createElement('iframe');
  frame.onload = () => done(false);
  frame.src = target + '/';
  document.body.append(frame);
}));
const form = document.createElement('form');
Object.assign(form, {method: 'post', action: target + '/press', enctype: 'text/plain',
                     target: 'hidden'});
form.innerHTML = `<input name='{"verb": "start", "code": "1", "note": "' value='"}'>
  <iframe name="hidden"></iframe>`;
document.body.append(form);
form.submit();
Promise.allSettled(tries).then(all => {
  document.body.dataset.won = all.filter(one => one.status === 'fulfilled' && one.value).length;
});
</script>"""


@pytest.fixture(name='attacker', params=['127.0.0.1', 'localhost'])
def _attacker(request: pytest.FixtureRequest, console: Console,
              tmp_path: Path) -> Iterator[str]:
    """Serve a page that attacks the console, from another origin on the same machine."""
    folder = tmp_path / 'attack'
    folder.mkdir()
    (folder / 'index.html').write_text(ATTACK % (request.param, console.port))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f'http://localhost:{server.server_port}/'
        server.shutdown()
        thread.join()


def test_a_page_from_elsewhere_presses_reads_and_frames_nothing(
        attacker: str, desk: Any, page: Any) -> None:
    """Forged requests, forms, streams, pictures and frames all fail, and are written down."""
    before = dict(desk.state(), stamp=0)
    evil = page.context.new_page()  # with the cookies of the person at the robot
    evil.goto(attacker)
    evil.wait_for_selector('body[data-won]')
    assert evil.get_attribute('body', 'data-won') == '0'
    frames = [frame for frame in evil.frames if frame.locator('#start').count()]
    assert not frames
    assert dict(desk.state(), stamp=0) == before
    assert not desk.kinds('started') and desk.kinds('hostile')
    page.click('#start')  # the person at the robot goes on
    page.wait_for_selector('#stop:enabled')


def test_before_the_state_is_known_nothing_can_be_pressed(
        console: Console, browser: Any) -> None:
    """The page as it arrives, before any script ran, shows no button of a trial."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(console.url)
    assert page.locator('footer button:visible').count() == 0
    assert page.locator('footer button:enabled').count() == 0
    context.close()
