# SPDX-License-Identifier: Apache-2.0
"""Notices clients that speak no HTTP; they never reach the doorman."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vla_drop_ros.console.doorman import address_of, Tell


def wire(tell: Tell) -> type[H11Protocol]:
    """Return the protocol of a connection, for uvicorn.

    Args:
        tell: takes what was wrong and the address.

    """
    tasks: set[asyncio.Task[Any]] = set()  # the loop itself keeps weak references only

    class Wire(H11Protocol):
        """One connection; what cannot be read as HTTP is answered 400 and reported."""

        def send_400_response(self, msg: str) -> None:
            super().send_400_response(msg)
            task = asyncio.ensure_future(tell(
                'no HTTP, or no Host', address_of({'client': self.client})))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    return Wire
