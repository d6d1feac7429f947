# SPDX-License-Identifier: Apache-2.0
"""A study at a desk, see ``study_desk.py``, and a console that serves it."""

from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPResponse
from importlib.util import module_from_spec, spec_from_file_location
import json
from pathlib import Path
import shutil
import socket
import sys
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.console.server import Console

WAIT = 30_000.0  # [ms] for what takes a moment; machines of tests are busy
# A headless browser has no voice; this keeps what it was to say.
SPY = 'window.said = []; speechSynthesis.speak = words => said.push(words.text);'


@pytest.fixture(scope='session', name='studio')
def _studio() -> ModuleType:
    """Return the module with the desk and the pictures."""
    spec = spec_from_file_location('study_desk', Path(__file__).with_name('study_desk.py'))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name='desk')
def _desk(studio: ModuleType, tmp_path: Path) -> Iterator[Any]:
    desk = studio.StudyDesk(tmp_path)
    yield desk
    desk.log.close()


@pytest.fixture(name='console')
def _console(desk: Any) -> Iterator[Console]:
    pytest.importorskip('uvicorn')
    with Console(desk, port=0) as console:
        yield console


class Visitor:
    """Sends requests to a console, exactly as written."""

    def __init__(self, port: int) -> None:
        self.host, self.port = f'127.0.0.1:{port}', port

    def send(self, method: str, path: str, body: bytes = b'',
             headers: Mapping[str, str] | None = None) -> HTTPResponse:
        """Return the answer, its body still to be read; an empty value leaves a header out."""
        sent = {'Host': self.host, **(headers or {})}
        if method == 'POST':
            sent = {'Origin': f'http://{self.host}', 'Content-Type': 'application/json',
                    'Content-Length': str(len(body)), **sent}
        head = ''.join(f'{name}: {value}\r\n' for name, value in sent.items() if value)
        wire = socket.create_connection(('127.0.0.1', self.port), timeout=10.0)
        # In one piece: a body that comes after a refused head resets the answer away.
        wire.sendall(f'{method} {path} HTTP/1.1\r\n{head}\r\n'.encode() + body)
        answer = HTTPResponse(wire, method=method)
        answer.begin()
        return answer

    def press(self, verb: str, code: str, **more: Any) -> tuple[int, dict[str, Any]]:
        """Press a button; return the status and the answer."""
        body = json.dumps({'verb': verb, 'code': code, **more}).encode()
        answer = self.send('POST', '/press', body)
        return answer.status, json.loads(answer.read())


@pytest.fixture(name='visitor')
def _visitor(console: Console) -> Visitor:
    return Visitor(console.port)


@pytest.fixture(name='make_visitor')
def _make_visitor() -> type[Visitor]:
    return Visitor


@pytest.fixture(scope='module', name='browser')
def _browser() -> Iterator[Any]:
    """Return a headless Chromium, the one that the system has.

    While it is open an event loop runs in this thread, which other tests would not expect.
    """
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    paths = map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))
    if (path := next(filter(None, paths), None)) is None:
        pytest.skip('no Chromium here: apt-get install chromium')
    playwright.expect.set_options(timeout=WAIT)
    with playwright.sync_playwright() as started:
        # The sandbox of Chromium does not run for root, as which containers test.
        browser = started.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield browser
        browser.close()


@pytest.fixture(name='open_page')
def _open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return what opens a page like a person's; no script on it may fail."""
    contexts, errors = [], []

    def open_page(url: str, width: int = 360, height: int = 740) -> Any:
        context = browser.new_context(viewport={'width': width, 'height': height})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(SPY)
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(name='page')
def _page(open_page: Callable[..., Any], console: Console) -> Any:
    page = open_page(console.url)
    page.wait_for_selector('body[data-link=up]')
    return page
