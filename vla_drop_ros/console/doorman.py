# SPDX-License-Identifier: Apache-2.0
"""Who may come in: the checks that every request passes before anything reads it.

Against a page elsewhere that presses buttons here (forged requests): presses must come from our
own origin and as JSON, the cookie is SameSite=Strict, and no page may frame ours. Against a name
that is made to point here (DNS rebinding): the Host must be an address of this machine. Against
everybody else on the network: a token, as soon as the console listens wider than loopback.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
import hmac
import ipaddress
import re
import socket
from typing import Any
from urllib.parse import parse_qs

LOOPBACK = ('localhost', '127.0.0.1', '::1')
HOST = re.compile(r'(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?')
HEADERS = {
    'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'x-frame-options': 'DENY',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-store',
}
# What browsers ask for on their own; answered 404 and nobody is told.
HARMLESS = re.compile(r'/(favicon\.ico|apple-touch-icon[a-z0-9-]*\.png|robots\.txt)')

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Tell = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class House:
    """What the doorman knows of the house.

    Attributes:
        host: where the console listens, a name or an address; 0.0.0.0 or :: for everywhere.
        token: what visitors show; '' where none is needed.
        names: further names of this machine that visitors may use.
        cookie: name of the cookie that holds the token.

    """

    host: str
    token: str
    names: frozenset[str]
    cookie: str = 'vla_drop_console'


class Doorman:
    """An ASGI application before another one: turns away, or lets in and adds headers."""

    def __init__(self, inside: Application, house: House, tell: Tell) -> None:
        """Take the application to guard, and whom to tell of what was turned away."""
        self._inside = inside
        self._house = house
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope['type'] != 'http':
            return
        path, method = str(scope['path']), str(scope['method'])
        headers = [(key.decode('latin-1').lower(), value.decode('latin-1'))
                   for key, value in scope['headers']]
        status, why = self._refusal(scope, headers)
        if status:
            await self._tell(f'{method} {path[:60]}: {why}', address_of(scope))
            await _answer(status, why, send)
            return
        welcome = self._welcome(scope)

        async def guarded(message: Message) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [*message.get('headers', ()), *_encoded(HEADERS), *welcome]
                if (wrong := message['status']) in (404, 405) and not HARMLESS.fullmatch(path):
                    await self._tell(f'{method} {path[:60]}: {wrong}', address_of(scope))
            await send(message)

        await self._inside(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: list[tuple[str, str]]) -> tuple[int, str]:
        """Return the status and the reason of a refusal; 0 where there is none."""
        hosts = [value for key, value in headers if key == 'host']
        named = dict(headers)
        if len(hosts) != 1 or not self.knows(hosts[0], scope.get('server')):
            return 403, f'host {", ".join(hosts)[:60]!r} is not this machine; use its address'
        if named.get('sec-fetch-site', 'none') not in ('none', 'same-origin') \
                and (scope['method'], scope['path']) != ('GET', '/'):
            return 403, 'asked for by a page elsewhere'
        if scope['method'] not in ('GET', 'HEAD'):
            if named.get('origin') != f'http://{hosts[0]}':
                return 403, f'origin {named.get("origin", "none")[:60]!r} is not this console'
            if named.get('content-type', '').partition(';')[0].strip() != 'application/json':
                return 415, 'the content type must be application/json'
        if not self._invited(scope, headers):
            return 403, 'the token is missing or wrong; open the address that was printed ' \
                        'when the console started'
        return 0, ''

    def knows(self, host: str, server: object) -> bool:
        """Say whether a Host header names this machine.

        Args:
            host: of the request, with or without a port.
            server: address and port at which the connection arrived.

        """
        found = HOST.fullmatch(host.lower())
        if found is None:
            return False
        name = found['six'] or found['name']
        if name in LOOPBACK or name == self._house.host or name in self._house.names:
            return True
        arrived = server[0] if isinstance(server, tuple | list) and server else ''
        return _same_address(name, str(arrived))

    def _invited(self, scope: Scope, headers: Iterable[tuple[str, str]]) -> bool:
        if not self._house.token:
            return True
        shown = [_query_token(scope)] if scope['path'] == '/' else []
        for _, value in (pair for pair in headers if pair[0] == 'cookie'):
            pairs = (part.strip().partition('=') for part in value.split(';'))
            shown += [text for name, _, text in pairs if name == self._house.cookie]
        return any(hmac.compare_digest(self._house.token.encode(), one.encode())
                   for one in shown)

    def _welcome(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Return the cookie for whoever came with the token in the address."""
        if not (self._house.token and scope['path'] == '/' and _query_token(scope)):
            return []
        cookie = f'{self._house.cookie}={self._house.token}; Path=/; HttpOnly; SameSite=Strict'
        return _encoded({'set-cookie': cookie})


def own_names() -> frozenset[str]:
    """Return what this machine is called in its network."""
    name = socket.gethostname().lower()
    return frozenset({name, f'{name}.local'}) if HOST.fullmatch(name) else frozenset()


def address_of(scope: Mapping[str, Any]) -> str:
    """Return where a request came from, host and port."""
    client = scope.get('client')
    return f'{client[0]}:{client[1]}' if client else 'unknown'


def _query_token(scope: Scope) -> str:
    query = parse_qs(bytes(scope.get('query_string', b'')).decode('latin-1'))
    return query.get('token', [''])[0]


def _same_address(name: str, arrived: str) -> bool:
    try:
        named, real = (ipaddress.ip_address(text.partition('%')[0]) for text in (name, arrived))
    except ValueError:
        return False
    return _plain(named) == _plain(real)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> object:
    """Return the IPv4 address inside an IPv6 one, or the address."""
    return getattr(address, 'ipv4_mapped', None) or address


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(key.encode(), value.encode()) for key, value in headers.items()]


async def _answer(status: int, why: str, send: Send) -> None:
    body = (why + '\n').encode('ascii', 'backslashreplace')
    await send({'type': 'http.response.start', 'status': status, 'headers': _encoded(
        {**HEADERS, 'content-type': 'text/plain; charset=utf-8',
         'content-length': str(len(body)), 'connection': 'close'})})
    await send({'type': 'http.response.body', 'body': body})
