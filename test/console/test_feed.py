# SPDX-License-Identifier: Apache-2.0
"""Open pages are told of a change at once, of everything else twice a second."""

import asyncio
import json
import time
from typing import Any

import pytest

from vla_drop_ros.console.feed import BEAT, Feed

LIMIT = 10.0  # [s] for what takes milliseconds


def read(event: str) -> Any:
    """Return the message of a server-sent event."""
    return json.loads(event.removeprefix('data: '))


def test_a_page_gets_the_state_then_changes_then_beats() -> None:
    """The first message is the state as it is; a change does not wait for the beat."""
    async def scenario() -> None:
        now: dict[str, Any] = {'phase': 'arrange', 'elapsed': 0.0}
        feed = Feed(lambda: now)
        await feed.look()
        stream = feed.follow()
        assert (await anext(stream)).startswith('retry:')
        assert read(await anext(stream))['state'] == now
        assert feed.pages == 1
        coming = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        now = {'phase': 'running', 'elapsed': 0.0}
        before = time.monotonic()
        await feed.look()
        assert read(await coming)['state']['phase'] == 'running'
        assert time.monotonic() - before < BEAT
        now = {'phase': 'running', 'elapsed': 0.1}
        await feed.look()  # a passing number wakes nobody
        before = time.monotonic()
        assert read(await anext(stream))['state']['elapsed'] == 0.1
        assert 0.5 * BEAT < time.monotonic() - before < LIMIT
        coming = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        feed.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(coming, LIMIT)
        assert feed.pages == 0

    asyncio.run(scenario())


def test_a_desk_that_fails_is_seen_by_its_age(caplog: pytest.LogCaptureFixture) -> None:
    """The last state stays, grows old, and the trouble is logged once."""
    async def scenario() -> None:
        states: list[Any] = [{'phase': 'arrange'}, {'phase': float('nan')}]
        feed = Feed(lambda: states.pop(0))
        for _ in range(4):
            await feed.look()
        message = json.loads(feed.message())
        assert message['state'] == {'phase': 'arrange'} and message['age'] >= 0.0
        assert [record.message for record in caplog.records] == [
            'the state of the study cannot be read']

    asyncio.run(scenario())
