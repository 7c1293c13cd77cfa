"""Server-Sent Events."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator

import pytest

from shared.clock import machine_now
from shared.web.sse import ServerEvent, event_stream


async def collect(events: AsyncGenerator[ServerEvent, None], heartbeat: float = 60) -> bytes:
    response = event_stream(events, heartbeat)
    assert response.media_type == "text/event-stream"
    return b"".join([bytes(part) async for part in response.body_iterator])  # type: ignore[arg-type]


async def test_events_are_framed_by_lines() -> None:
    async def events() -> AsyncGenerator[ServerEvent, None]:
        yield ServerEvent('{"a": "一"}', id="7", event="entry")
        yield ServerEvent("two\r\nlines")

    body = await collect(events())
    assert 'id: 7\nevent: entry\ndata: {"a": "一"}\n\ndata: two\ndata: lines\n\n'.encode() in body


async def test_silence_is_filled_without_losing_the_event_that_comes() -> None:
    come = asyncio.Event()

    async def events() -> AsyncGenerator[ServerEvent, None]:
        await come.wait()
        yield ServerEvent("late")

    seen = b""
    async for part in event_stream(events(), heartbeat=0.01).body_iterator:
        seen += bytes(part)  # type: ignore[arg-type]
        if seen.count(b": still here") == 2:
            come.set()
    assert b"data: late" in seen


@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_ends_when_its_time_is_over_however_much_comes(busy: bool) -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[ServerEvent, None]:
        try:
            while True:
                yield ServerEvent("x")
                await asyncio.sleep(0 if busy else 3600)
        finally:
            closed.set()

    until = machine_now() + dt.timedelta(seconds=0.2)
    async with asyncio.timeout(10):
        parts = [bytes(part) async for part in event_stream(events(), until=until).body_iterator]  # type: ignore[arg-type]
    assert machine_now() >= until
    assert b"data: x\n\n" in parts
    assert closed.is_set()


async def test_a_stream_whose_time_is_over_sends_nothing() -> None:
    async def events() -> AsyncGenerator[ServerEvent, None]:
        yield ServerEvent("x")

    body = event_stream(events(), until=machine_now()).body_iterator
    assert b"data" not in b"".join([bytes(part) async for part in body])  # type: ignore[arg-type]


async def test_the_source_is_closed_when_the_reader_goes() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[ServerEvent, None]:
        try:
            while True:
                yield ServerEvent("x")
                await asyncio.Event().wait()
        finally:
            closed.set()

    lines = event_stream(events(), heartbeat=0.01).body_iterator
    async for part in lines:
        if b"still here" in bytes(part):  # type: ignore[arg-type]
            break
    await lines.aclose()  # type: ignore[attr-defined]
    assert closed.is_set()
