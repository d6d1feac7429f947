# SPDX-License-Identifier: Apache-2.0
"""Tells every open page what the state is, at once when it changes and twice a second anyway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
import json
import logging
import time
from typing import Any

POLL = 0.1  # [s] between two looks at the state
BEAT = 0.5  # [s] longest silence on an open page
MOST_PAGES = 24
PASSING = ('elapsed', 'stamp', 'minutes_left')  # change all the time; no reason to hurry

_logger = logging.getLogger(__name__)


class Feed:
    """The newest state, and the streams of those who follow it.

    All methods but ``close`` belong to one event loop.
    """

    def __init__(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Take who knows the state; it is asked in a thread and may block."""
        self._state = state
        self._text, self._seen, self._key = 'null', time.monotonic(), ''
        self._changed = asyncio.Event()
        self._complained = False
        self.closed = False
        self.pages = 0

    async def run(self) -> None:
        """Follow the state until the feed is closed."""
        while not self.closed:
            await self.look()
            await asyncio.sleep(POLL)

    async def look(self) -> None:
        """Ask for the state once; what cannot be read makes the last one older, no more."""
        try:
            state = await asyncio.to_thread(self._state)
            text = json.dumps(state, allow_nan=False)
        except Exception:  # the desk is not ours; pages show how old its word is
            if not self._complained:
                _logger.exception('the state of the study cannot be read')
            self._complained = True
            return
        self._complained, self._seen, self._text = False, time.monotonic(), text
        key = json.dumps({name: value for name, value in state.items() if name not in PASSING})
        if key != self._key:
            self._key = key
            self._wake()

    def message(self) -> str:
        """Return the newest state and its age in seconds, JSON: ``{"age": ..., "state": ...}``."""
        return f'{{"age": {time.monotonic() - self._seen:.2f}, "state": {self._text}}}'

    async def follow(self) -> AsyncIterator[str]:
        """Yield server-sent events until the feed is closed: first the state as it is."""
        self.pages += 1
        try:
            yield 'retry: 1000\n\n'
            while not self.closed:
                changed = self._changed
                yield f'data: {self.message()}\n\n'
                try:
                    await asyncio.wait_for(changed.wait(), BEAT)
                except asyncio.TimeoutError:
                    continue
        finally:
            self.pages -= 1

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
