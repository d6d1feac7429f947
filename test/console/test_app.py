# SPDX-License-Identifier: Apache-2.0
"""Every address of the console, against the real server and a real study."""

from concurrent.futures import ThreadPoolExecutor
import json
import threading
from typing import Any

from vla_drop_ros.console.app import FILES
from vla_drop_ros.console.feed import BEAT, MOST_PAGES
from vla_drop_ros.errors import TrialError


def test_the_page_and_its_files(visitor: Any) -> None:
    """All of them come from the package, and the page asks for nothing from elsewhere."""
    page = visitor.send('GET', '/')
    text = page.read().decode()
    assert page.status == 200 and page.getheader('content-type').startswith('text/html')
    assert '{{' not in text and '<script>' not in text and ' style=' not in text
    for name, kind in FILES.items():
        answer = visitor.send('GET', f'/{name}')
        content = answer.read().decode()
        assert answer.status == 200 and answer.getheader('content-type').startswith(kind)
        assert '://' not in content and 'innerHTML' not in content
    assert '://' not in text


def test_the_state_is_the_desks_and_names_no_arm(desk: Any, visitor: Any) -> None:
    """What the desk says arrives whole; no arm and no token is in anything that is served."""
    message = json.loads(visitor.send('GET', '/state').read())
    assert message['age'] < 5.0
    assert dict(message['state'], stamp=0) == dict(desk.state(), stamp=0)
    served = json.dumps(message) + visitor.send('GET', '/').read().decode()
    assert desk.conductor.token() not in served
    assert not [arm.checkpoint for arm in desk.design.arms if arm.checkpoint in served]


def test_events_begin_with_the_state_and_never_fall_silent(desk: Any, visitor: Any) -> None:
    """A snapshot at once; a press of somebody else soon; a beat when nothing happens."""
    stream = visitor.send('GET', '/events')
    assert stream.getheader('content-type').startswith('text/event-stream')

    def next_state() -> Any:
        while not (line := stream.readline()).startswith(b'data: '):
            assert line, 'the stream ended'
        return json.loads(line.removeprefix(b'data: '))['state']

    assert next_state()['phase'] == 'arrange'
    assert visitor.press('start', '1')[0] == 200
    assert next_state()['phase'] == 'running'
    first, second = next_state(), next_state()
    assert 0.0 < second['stamp'] - first['stamp'] < 1.0 + BEAT
    stream.close()


def test_pages_are_limited(visitor: Any) -> None:
    """One page too many is told so, and those that are open go on."""
    streams = [visitor.send('GET', '/events') for _ in range(MOST_PAGES)]
    assert all(stream.readline().startswith(b'retry') for stream in streams)
    assert visitor.send('GET', '/events').status == 503
    assert streams[0].readline() is not None
    for stream in streams:
        stream.close()


def test_pictures(desk: Any, visitor: Any) -> None:
    """The newest picture and the reference as JPEG; no content where there is none."""
    assert visitor.send('GET', '/camera.jpg').read() == desk.live
    assert visitor.send('GET', '/reference.jpg').read() == desk.arranged
    desk.live = desk.arranged = None
    assert visitor.send('GET', '/camera.jpg').status == 204
    assert visitor.send('GET', '/reference.jpg').status == 204


def test_a_whole_trial(desk: Any, visitor: Any) -> None:
    """Start, stop, verdict, undo and the verdict again, each acknowledged with a sentence."""
    assert visitor.press('start', '1', who='ada') == (
        200, {'done': True, 'text': 'start: trial 1'})
    assert visitor.press('stop', '1')[0] == 200
    assert visitor.press('failure', '1', who='ada', reason='dropped', note='on the edge')[0] == 200
    assert visitor.press('undo', '1')[0] == 200
    assert visitor.press('partial', '1', stage='grasped')[0] == 200
    first = desk.conductor.attempts[0]
    assert (first.verdict, first.stage, first.undone) == ('partial', 'grasped', ['failure'])
    assert desk.kinds('judged')[0]['who'] == 'ada'
    assert desk.kinds('judged')[0]['note'] == 'on the edge'


def test_a_refusal_says_why_and_is_no_attack(desk: Any, visitor: Any) -> None:
    """A press at the wrong time changes nothing and is told the reason."""
    status, reply = visitor.press('success', '1')
    assert status == 409 and not reply['done'] and 'not possible now' in reply['text']
    assert not desk.kinds('hostile') and desk.kinds('refused')


def test_two_clients_at_once_give_one_verdict(desk: Any, visitor: Any) -> None:
    """Of many presses for the same trial exactly one is taken; the next trial is untouched."""
    visitor.press('start', '1')
    visitor.press('stop', '1')
    together = threading.Barrier(8)

    def judge(verb: str) -> int:
        together.wait(timeout=10.0)
        return int(visitor.press(verb, '1')[0])

    with ThreadPoolExecutor(8) as people:
        answers = sorted(people.map(judge, ['success', 'failure'] * 4))
    assert answers == [200] + [409] * 7
    assert len(desk.kinds('judged')) == 1
    assert desk.state()['code'] == '2' and desk.state()['phase'] == 'arrange'


def test_a_full_disk_is_said(desk: Any, visitor: Any, monkeypatch: Any) -> None:
    """What could not be written down is not done, and whoever pressed is told."""
    def full(*_: object) -> None:
        raise TrialError('cannot append: no space left; make room and resume')

    monkeypatch.setattr(desk.conductor, '_append', full)
    assert visitor.press('start', '1') == (
        503, {'done': False, 'text': 'cannot append: no space left; make room and resume'})
    assert desk.state()['phase'] == 'arrange'


def test_beats_go_on_while_a_press_takes_its_time(desk: Any, visitor: Any) -> None:
    """A desk that is busy for a while does not look like a lost connection."""
    stream = visitor.send('GET', '/events')
    with desk.lock, ThreadPoolExecutor(1) as person:
        pressed = person.submit(visitor.press, 'start', '1')
        ages: list[float] = []
        while not ages or ages[-1] < 3 * BEAT:
            line = stream.readline()
            if line.startswith(b'data: '):
                ages.append(json.loads(line.removeprefix(b'data: '))['age'])
        assert not pressed.done() and len(ages) >= 3
        desk.lock.release()
        try:
            assert pressed.result(timeout=10.0)[0] == 200
        finally:
            desk.lock.acquire()
    stream.close()
