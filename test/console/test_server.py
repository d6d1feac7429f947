# SPDX-License-Identifier: Apache-2.0
"""The console starts, stops, and says what is wrong with an address."""

import socket
import sys
import threading
from typing import Any

import pytest

from vla_drop_ros.console.server import Console, is_loopback, outward_address
from vla_drop_ros.errors import MissingDependencyError, TrialError


def test_it_listens_on_loopback_without_a_token(console: Console) -> None:
    """The default is this machine only; its address is what people open."""
    assert console.url == f'http://127.0.0.1:{console.port}/' and console.token == ''


def test_a_taken_port_is_named(desk: Any, console: Console) -> None:
    """The error says which address, and what to do."""
    with pytest.raises(TrialError, match=rf'127\.0\.0\.1:{console.port}.*another port'):
        Console(desk, port=console.port).start()


@pytest.mark.parametrize('host, port', [('192.0.2.1', 0), ('no such name', 0),
                                        ('127.0.0.1', 99999)])
def test_an_impossible_address_is_named(desk: Any, host: str, port: int) -> None:
    """An address of another machine, a name that is none, a port out of range."""
    with pytest.raises(TrialError, match='cannot listen'):
        Console(desk, host, port).start()


def test_it_stops_with_open_streams_and_starts_again_at_the_same_port(
        desk: Any, make_visitor: Any) -> None:
    """Open pages do not keep it alive; the port is free at once; stopping twice is nothing."""
    console = Console(desk, port=0)
    console.start()
    visitor = make_visitor(console.port)
    stream = visitor.send('GET', '/events')
    assert stream.readline().startswith(b'retry')
    console.stop()
    console.stop()
    while stream.readline():
        pass  # what was under way; then the end
    with pytest.raises(OSError):
        socket.create_connection(('127.0.0.1', visitor.port), timeout=10.0)
    with Console(desk, port=visitor.port):
        assert visitor.send('GET', '/state').status == 200
    assert 'console' not in [thread.name for thread in threading.enumerate()]


def test_it_runs_once(console: Console) -> None:
    """Starting a running console is a mistake of the caller."""
    with pytest.raises(ValueError, match='running'):
        console.start()


def test_listening_wider_makes_a_token(desk: Any, make_visitor: Any) -> None:
    """Everywhere means a token, new each time, and the machine's own address is a fine Host."""
    with Console(desk, '0.0.0.0', 0) as console:
        assert len(console.token) >= 32 and console.token != Console(desk, '0.0.0.0', 0).token
        assert console.url.endswith(f':{console.port}/?token={console.token}')
        visitor = make_visitor(console.port)
        assert visitor.send('GET', '/').status == 403
        path = f'/?token={console.token}'
        assert visitor.send('GET', path).status == 200
        assert visitor.send('GET', path, headers={
            'Host': f'{socket.gethostname()}:{console.port}'}).status == 200
        assert visitor.send('GET', path, headers={'Host': 'evil.example'}).status == 403


def test_what_is_loopback() -> None:
    """Only addresses that no other machine reaches."""
    assert all(map(is_loopback, ('127.0.0.1', '127.0.0.5', '::1', 'localhost')))
    assert not any(map(is_loopback, ('0.0.0.0', '::', '192.0.2.1', 'robot', '')))
    assert outward_address('0.0.0.0')


def test_missing_packages_are_named(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvicorn the error says what to install."""
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    with pytest.raises(MissingDependencyError, match="'uvicorn'.*pip install"):
        Console(desk, port=0).start()
