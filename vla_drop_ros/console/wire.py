# SPDX-License-Identifier: Apache-2.0
"""Clients that speak no HTTP, or nothing at all: they never reach the doorman.

Sockets that are only opened must not take the place of the person who presses STOP.
"""

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vla_drop_ros.console.doorman import address_of, Tell

FIRST_WORD = 10.0  # [s] in which a connection asks for something, or is closed
FROM_ONE = 60  # connections of one address; a browser holds some ten


def wire(tell: Tell) -> type[H11Protocol]:
    """Return the protocol of a connection, for uvicorn.

    Args:
        tell: takes what was wrong and the address.

    """
    tasks: set[asyncio.Task[Any]] = set()  # the loop itself keeps weak references only
    open_from: Counter[str] = Counter()  # address -> connections

    class Wire(H11Protocol):
        """One connection; what cannot be read as HTTP is answered 400 and reported."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._from = self.client[0] if self.client else ''
            open_from[self._from] += 1
            self._deadline = self.loop.call_later(FIRST_WORD, self._hang_up)
            if open_from[self._from] > FROM_ONE:
                self._report(f'more than {FROM_ONE} connections at once')
                transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            open_from[self._from] -= 1
            if not open_from[self._from]:
                del open_from[self._from]
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            super().send_400_response(msg)
            self._report('no HTTP, or no Host')

        def _hang_up(self) -> None:
            asked: object = self.cycle
            if asked is None:  # browsers open spare connections, too: no reason to report
                self.transport.close()

        def _report(self, what: str) -> None:
            task = asyncio.ensure_future(tell(what, address_of({'client': self.client})))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return Wire
