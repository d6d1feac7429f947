# SPDX-License-Identifier: Apache-2.0
"""What the console answers: the page, its live state, two pictures, and presses of buttons."""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vla_drop_ros.console.desk import Desk
from vla_drop_ros.console.doorman import address_of, Tell
from vla_drop_ros.console.feed import Feed, MOST_PAGES
from vla_drop_ros.console.match import TOLERANCE
from vla_drop_ros.console.press import BadPressError, BODY_LIMIT, parse_press
from vla_drop_ros.errors import VlaDropError

BODY_TIME = 5.0  # [s] in which a body must have arrived
FILES = {'console.css': 'text/css', **dict.fromkeys(
    ('console.js', 'buttons.js', 'judging.js', 'camera.js', 'match.js', 'voice.js'),
    'text/javascript')}

Endpoint = Callable[[Request], Awaitable[Response]]


def console_app(desk: Desk, feed: Feed, tell: Tell) -> Starlette:
    """Return the application; a doorman must stand before it.

    Args:
        desk: who conducts the study.
        feed: of the state; somebody else runs it.
        tell: takes what was wrong with a request and its address.

    """
    package = files('vla_drop_ros.console')
    page = package.joinpath('console.html').read_text('utf-8').replace(
        '{{tolerance}}', f'{TOLERANCE:g}')

    async def index(_: Request) -> Response:
        return Response(page, media_type='text/html')

    async def state(_: Request) -> Response:
        return Response(feed.message(), media_type='application/json')

    async def events(_: Request) -> Response:
        if feed.pages >= MOST_PAGES:
            return Response(f'{MOST_PAGES} pages are open already', 503)
        return StreamingResponse(feed.follow(), media_type='text/event-stream')

    async def press(request: Request) -> Response:
        try:
            verb = parse_press(await asyncio.wait_for(_body(request), BODY_TIME))
        except (BadPressError, asyncio.TimeoutError, ClientDisconnect) as error:
            why = str(error) or 'the body never came'
            await tell(f'POST /press: {why}', address_of(request.scope))
            return JSONResponse({'done': False, 'text': why}, 400)
        try:
            reply = await asyncio.to_thread(desk.press, verb)
        except VlaDropError as error:
            return JSONResponse({'done': False, 'text': str(error)}, 503)
        await feed.look()  # whoever pressed sees the new state with the answer
        return JSONResponse({'done': reply.done, 'text': reply.text},
                            200 if reply.done else 409)

    routes = [Route('/', index), Route('/state', state), Route('/events', events),
              Route('/press', press, methods=['POST']),
              Route('/camera.jpg', _picture(desk.camera)),
              Route('/reference.jpg', _picture(desk.reference))]
    for name, kind in FILES.items():
        routes.append(Route(f'/{name}', _file(package.joinpath(name).read_bytes(), kind)))
    return Starlette(routes=routes)


async def _body(request: Request) -> bytes:
    """Return the body; stop reading as soon as it is too long."""
    body = b''
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise BadPressError(f'more than {BODY_LIMIT} bytes')
    return body


def _picture(take: Callable[[], bytes | None]) -> Endpoint:
    async def picture(_: Request) -> Response:
        content = await asyncio.to_thread(take)
        return Response(content, media_type='image/jpeg') if content else Response(None, 204)

    return picture


def _file(content: bytes, kind: str) -> Endpoint:
    async def file(_: Request) -> Response:
        return Response(content, media_type=kind)

    return file
