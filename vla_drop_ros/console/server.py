# SPDX-License-Identifier: Apache-2.0
"""Serves the console from a thread of whoever conducts the study."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
import ipaddress
import logging
import secrets
import socket
import threading
import time
from typing import Any

from vla_drop_ros.console.desk import Desk
from vla_drop_ros.console.doorman import Doorman, House, own_names
from vla_drop_ros.console.hostility import Hostility
from vla_drop_ros.errors import MissingDependencyError, TrialError, VlaDropError

EVERYWHERE = ('0.0.0.0', '::')
TOKEN_BYTES = 24
PATIENCE = 3.0  # [s] for open requests when the console stops
MOST_CONNECTIONS = 200
THREADS = 32

_logger = logging.getLogger(__name__)


class Console:
    """A web server for one study; ``start`` and ``stop`` are for the thread that made it.

    Attributes:
        token: what visitors must bring; '' where the console listens on loopback only and none
            was asked for.

    """

    def __init__(self, desk: Desk, host: str = '127.0.0.1', port: int = 8080, token: str = '',
                 names: Iterable[str] = ()) -> None:
        """Take who conducts the study.

        Args:
            desk: is asked and told from other threads.
            host: address to listen at; 0.0.0.0 for everywhere.
            port: 0 takes any free one.
            token: '' makes a random one where the console listens wider than loopback.
            names: further names under which browsers may ask for this machine, for instance
                of a proxy.

        """
        self.host, self.port = host, port
        self.token = token or ('' if is_loopback(host) else secrets.token_urlsafe(TOKEN_BYTES))
        self._desk = desk
        own = frozenset() if is_loopback(host) else own_names()
        self._names = own | {name.lower() for name in names}
        self._thread: threading.Thread | None = None
        self._server: Any = None
        self._feed: Any = None

    @property
    def url(self) -> str:
        """Return what people open, with the token; valid after ``start``."""
        host = outward_address(self.host) if self.host in EVERYWHERE else self.host
        shown = f'[{host}]' if ':' in host else host
        return f'http://{shown}:{self.port}/' + (f'?token={self.token}' if self.token else '')

    def start(self) -> None:
        """Serve; returns when the port is taken and the first page can be asked for.

        Raises:
            MissingDependencyError: starlette or uvicorn is not installed.
            TrialError: the port is taken or the address is none of this machine.

        """
        if self._thread is not None:
            raise ValueError('the console is running')
        _import_server()
        listening = _listen(self.host, self.port)
        self.port = int(listening.getsockname()[1])
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening, ready),
                                        name='console', daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """End all pages' streams and free the port; a second call does nothing."""
        if self._thread is None:
            return
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()
        self._thread = self._server = self._feed = None

    def __enter__(self) -> 'Console':
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def _run(self, listening: socket.socket, ready: threading.Event) -> None:
        try:
            asyncio.run(self._serve(listening, ready))
        except Exception:
            _logger.exception('the console ended; the study goes on without it')
        finally:
            listening.close()
            ready.set()

    async def _serve(self, listening: socket.socket, ready: threading.Event) -> None:
        import uvicorn

        from vla_drop_ros.console.app import console_app
        from vla_drop_ros.console.feed import Feed
        from vla_drop_ros.console.wire import wire
        # Presses may block for seconds; they must not keep the state from being looked at.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(THREADS, thread_name_prefix='console'))
        feed = Feed(self._desk.state)
        hostility = Hostility(self._desk.report_hostile, time.monotonic)

        async def tell(what: str, address: str) -> None:
            try:
                await asyncio.to_thread(hostility.report, what, address)
            except VlaDropError as error:  # a full disk is no reason to let anybody in
                _logger.error('a hostile request could not be written down: %s', error)

        house = House(self.host, self.token, self._names, f'vla_drop_console_{self.port}')
        app = Doorman(console_app(self._desk, feed, tell), house, tell)
        config = uvicorn.Config(
            app, loop='asyncio', http=wire(tell), ws='none', lifespan='off', log_config=None,
            access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=int(PATIENCE), limit_concurrency=MOST_CONNECTIONS)
        server = uvicorn.Server(config)
        self._server, self._feed = server, feed
        following = asyncio.create_task(feed.run())
        closing = asyncio.create_task(_close_with(server, feed))
        await feed.look()
        ready.set()
        try:
            await server.serve(sockets=[listening])
        finally:
            feed.close()
            closing.cancel()
            await asyncio.gather(following, closing, return_exceptions=True)


async def _close_with(server: Any, feed: Any) -> None:
    """End the streams when the server is to end: it would wait for them."""
    while not server.should_exit:
        await asyncio.sleep(0.05)
    feed.close()


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return host == 'localhost' or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def outward_address(host: str) -> str:
    """Return the address that this machine shows to its network; nothing is sent."""
    six = ':' in host
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('2001:db8::1' if six else '192.0.2.1', 9))
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _listen(host: str, port: int) -> socket.socket:
    try:
        if not 0 <= port <= 65535:  # getaddrinfo would wrap it around
            raise OverflowError('a port is 0 to 65535')
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(found[4][:2], family=found[0], backlog=128)
    except (OSError, OverflowError) as error:
        raise TrialError(
            f'the console cannot listen at {host}:{port}: {error}. Choose another port '
            '(0 takes any free one), or 127.0.0.1 or 0.0.0.0 as host') from error


def _import_server() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'the web console needs the package {error.name!r}: pip install starlette '
            'uvicorn') from error
