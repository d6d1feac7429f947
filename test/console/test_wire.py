# SPDX-License-Identifier: Apache-2.0
"""Clients that speak no HTTP, or nothing; see test_doorman.py for the rest."""

from contextlib import ExitStack
import socket
import time
from typing import Any

import pytest

from vla_drop_ros.console.server import MOST_CONNECTIONS


@pytest.mark.parametrize('rubbish', [b'\x00\x01\x02\r\n\r\n', b'press start, please\r\n\r\n',
                                     b'GET / HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n'])
def test_what_is_no_http_is_logged_too(rubbish: bytes, desk: Any, visitor: Any) -> None:
    """It gets an error, the log has a line more, and the console lives on."""
    with socket.create_connection(('127.0.0.1', visitor.port), timeout=10.0) as connection:
        connection.sendall(rubbish)
        assert connection.recv(100).startswith(b'HTTP/1.1 400')
    deadline = time.monotonic() + 10.0
    while not (found := desk.kinds('hostile')) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == 1 and 'no HTTP' in found[0]['what']
    assert visitor.send('GET', '/state').status == 200


def test_connections_that_ask_nothing_hold_no_press_up(desk: Any, visitor: Any) -> None:
    """More of them than the console takes at once, from here or elsewhere; it is logged."""
    with ExitStack() as stack:
        for place in range(MOST_CONNECTIONS + 20):
            stack.enter_context(socket.create_connection(
                ('127.0.0.1', visitor.port), 10.0, source_address=(f'127.0.0.{place % 5 + 1}', 0)))
        status, reply = visitor.press('start', '1')
        assert (status, reply['done']) == (200, True)
    deadline = time.monotonic() + 10.0
    while not (found := desk.kinds('hostile')) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert 'connections that ask nothing' in found[0]['what']


def test_a_connection_that_asks_nothing_is_closed(
        visitor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that begins to ask and never ends; one that listens to the state stays open."""
    monkeypatch.setattr('vla_drop_ros.console.wire.FIRST_WORD', 0.3)
    with ExitStack() as stack:
        idle, slow, listening = (stack.enter_context(
            socket.create_connection(('127.0.0.1', visitor.port), 10.0)) for _ in range(3))
        slow.sendall(b'GET / HTTP/1.1\r\nHost: ')
        listening.sendall(f'GET /events HTTP/1.1\r\nHost: {visitor.host}\r\n\r\n'.encode())
        assert listening.recv(100).startswith(b'HTTP/1.1 200')
        assert idle.recv(1) == slow.recv(1) == b''
        assert listening.recv(1) != b''
