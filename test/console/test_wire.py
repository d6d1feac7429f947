# SPDX-License-Identifier: Apache-2.0
"""A client that speaks no HTTP is noticed; see test_doorman.py for the rest."""

import socket
import time
from typing import Any

import pytest


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
