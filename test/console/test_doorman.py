# SPDX-License-Identifier: Apache-2.0
"""Nobody but the console's own page presses a button, and whoever tries is written down."""

from collections.abc import Callable
import json
import time
from typing import Any

import pytest

from vla_drop_ros.console.doorman import Doorman, House
from vla_drop_ros.console.hostility import BURST
from vla_drop_ros.console.server import Console

START = json.dumps({'verb': 'start', 'code': '1'}).encode()
OTHER = {'Origin': 'http://evil.example'}
HOSTILE: dict[str, tuple[str, str, bytes, dict[str, str], int]] = {
    'another origin': ('POST', '/press', START, OTHER, 403),
    'no origin': ('POST', '/press', START, {'Origin': ''}, 403),
    'null origin': ('POST', '/press', START, {'Origin': 'null'}, 403),
    'another port of this machine': ('POST', '/press', START,
                                     {'Origin': 'http://127.0.0.1:1'}, 403),
    'rebound name': ('POST', '/press', START, {
        'Host': 'evil.example', 'Origin': 'http://evil.example'}, 403),
    'no host': ('POST', '/press', START, {'Host': ''}, 400),
    'odd host': ('POST', '/press', START, {'Host': '127.0.0.1@evil.example'}, 403),
    'no address of this machine': ('GET', '/state', b'', {'Host': '192.0.2.7'}, 403),
    'reading through a rebound name': ('GET', '/events', b'', {'Host': 'evil.example'}, 403),
    'picture on another page': ('GET', '/camera.jpg', b'', {'Sec-Fetch-Site': 'cross-site'}, 403),
    'a form': ('POST', '/press', START, {
        'Content-Type': 'application/x-www-form-urlencoded'}, 415),
    'text that is JSON': ('POST', '/press', START, {'Content-Type': 'text/plain'}, 415),
    'no type': ('POST', '/press', START, {'Content-Type': ''}, 415),
    'no JSON': ('POST', '/press', b'start', {}, 400),
    'unknown verb': ('POST', '/press', b'{"verb": "detect", "code": "1"}', {}, 400),
    'too long': ('POST', '/press', b' ' * 5000 + START, {}, 400),
    'GET that presses': ('GET', '/press?verb=start', b'', {}, 405),
    'another method': ('DELETE', '/', b'', {'Origin': ''}, 403),
    'unknown page': ('GET', '/../../secret', b'', {}, 404),
    'the log': ('GET', '/log.jsonl', b'', {}, 404),
}


def the_report(desk: Any) -> Any:
    """Return the one report; that of a broken line may come just after the answer."""
    deadline = time.monotonic() + 10.0
    while not (found := desk.kinds('hostile')) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize('case', HOSTILE)
def test_a_hostile_request_changes_nothing_and_is_logged(
        case: str, desk: Any, visitor: Any) -> None:
    """It is answered with an error; the study stands where it stood; the log has a line more."""
    method, path, body, headers, status = HOSTILE[case]
    before = dict(desk.state(), elapsed=0, stamp=0)
    answer = visitor.send(method, path, body, headers)
    assert answer.status == status
    assert b'instruction' not in answer.read()
    assert dict(desk.state(), elapsed=0, stamp=0) == before
    assert not desk.kinds('started')
    found = the_report(desk)
    assert found['address'].startswith('127.0.0.1:') and found['what'].isprintable()


def test_a_flood_does_not_fill_the_log(desk: Any, visitor: Any) -> None:
    """However many hostile requests come, the log grows by a burst of lines."""
    for _ in range(3 * BURST):
        assert visitor.send('POST', '/press', START, OTHER).status == 403
    assert BURST <= len(desk.kinds('hostile')) <= BURST + 2


def test_browsers_may_ask_for_icons(desk: Any, visitor: Any) -> None:
    """What every browser asks for by itself is no attack."""
    assert visitor.send('GET', '/favicon.ico').status == 404
    assert not desk.kinds('hostile')


def test_answers_forbid_frames_foreign_scripts_and_copies(visitor: Any) -> None:
    """The page cannot be framed, loads nothing from elsewhere, and is in no cache."""
    for path in ('/', '/state', '/camera.jpg', '/nothing'):
        headers = {key.lower(): value for key, value in visitor.send('GET', path).getheaders()}
        policy = headers['content-security-policy']
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert 'unsafe' not in policy and 'http' not in policy
        assert headers['x-frame-options'] == 'DENY' and headers['cache-control'] == 'no-store'
        assert headers['x-content-type-options'] == 'nosniff'
        assert not [key for key in headers if key.startswith('access-control')]


def test_a_token_lets_in_and_is_kept_in_a_strict_cookie(
        desk: Any, make_visitor: Callable[[int], Any]) -> None:
    """Without the token nothing is told; with it once, the cookie is enough."""
    with Console(desk, port=0, token='opensesame') as console:
        visitor = make_visitor(console.port)
        assert console.url.endswith('/?token=opensesame')
        for path in ('/', '/state', '/events', '/camera.jpg', '/console.js', '/?token=',
                     '/?token=opensesam', '/state?token=opensesame'):
            answer = visitor.send('GET', path)
            assert answer.status == 403 and b'opensesame' not in answer.read(), path
        assert visitor.send('POST', '/press', START).status == 403
        answer = visitor.send('GET', '/?token=opensesame')
        cookie = answer.getheader('set-cookie')
        assert answer.status == 200 and cookie
        assert 'HttpOnly' in cookie and 'SameSite=Strict' in cookie
        shown = {'Cookie': 'other=1; ' + cookie.partition(';')[0]}
        assert visitor.send('GET', '/state', headers=shown).status == 200
        assert visitor.send('GET', '/', headers=shown).getheader('set-cookie') is None
        assert visitor.send('POST', '/press', START, shown).status == 200
        assert visitor.send('GET', '/state', headers={
            'Cookie': cookie.partition(';')[0] + 'x'}).status == 403
    assert len(desk.kinds('hostile')) == 10


@pytest.mark.parametrize('host, server, known', [
    ('localhost:8080', None, True), ('LOCALHOST', None, True), ('[::1]:8080', None, True),
    ('192.0.2.4:8080', ('192.0.2.4', 8080), True),
    ('192.0.2.4:8080', ('::ffff:192.0.2.4', 8080), True),
    ('[fe80::1]:8080', ('fe80::1%eth0', 8080), True),
    ('192.0.2.5:8080', ('192.0.2.4', 8080), False),
    ('robot-pc:8080', None, True), ('robot-pc.local', None, True), ('proxy.lab', None, True),
    ('evil.example', ('192.0.2.4', 8080), False), ('robot-pc.evil.example', None, False),
    ('127.0.0.1.evil.example', None, False), ('', None, False), ('localhost:', None, False),
    ('localhost:8080:8080', None, False), ('user@localhost', None, False)])
def test_names_of_this_machine(host: str, server: object, known: bool) -> None:
    """Loopback, the address at which the request arrived, and its own names; nothing else."""
    async def nobody(*_: object) -> None:
        raise AssertionError('not reached')

    house = House('0.0.0.0', '', frozenset({'robot-pc', 'robot-pc.local', 'proxy.lab'}))
    assert Doorman(nobody, house, nobody).knows(host, server) is known
