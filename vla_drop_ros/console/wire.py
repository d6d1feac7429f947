# SPDX-License-Identifier: Apache-2.0
"""Clients that speak no HTTP, or nothing at all: they never reach the doorman.

Sockets that are only opened must not take the place of the person who presses STOP.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vla_drop_ros.console.doorman import address_of, Tell

FIRST_WORD = 10.0  # [s] in which a connection asks for something, or is closed
MOST_SILENT = 50  # connections that have not asked yet; of more the oldest is closed


def wire(tell: Tell) -> type[H11Protocol]:
    """Return the protocol of a connection, for uvicorn.

    Args:
        tell: takes what was wrong and the address.

    """
    tasks: set[asyncio.Task[Any]] = set()  # the loop itself keeps weak references only
    silent: dict[H11Protocol, None] = {}  # which have not asked yet, the oldest first

    class Wire(H11Protocol):
        """One connection; what cannot be read as HTTP is answered 400 and reported."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._deadline = self.loop.call_later(FIRST_WORD, self._hang_up)
            silent[self] = None
            if len(silent) > MOST_SILENT:
                oldest = next(iter(silent))
                del silent[oldest]
                oldest.transport.close()
                self._report(f'more than {MOST_SILENT} connections that ask nothing')

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            asked: object = self.cycle
            if asked is not None:
                self._spoke()

        def connection_lost(self, exc: Exception | None) -> None:
            self._spoke()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            super().send_400_response(msg)
            self._report('no HTTP, or no Host')

        def _spoke(self) -> None:
            self._deadline.cancel()
            silent.pop(self, None)

        def _hang_up(self) -> None:
            self.transport.close()  # browsers open spare connections, too: no reason to report

        def _report(self, what: str) -> None:
            task = asyncio.ensure_future(tell(what, address_of({'client': self.client})))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return Wire
