"""Server-Sent Events as a server sends them: frames, heartbeats, their end, and readers that leave."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from shared.clock import machine_now
from shared.web.sse import OPEN, Events, events_for_reader, no_store


class Reader:
    """A client of an application, as uvicorn shows it: `parts` are the pieces of the body so far."""

    def __init__(self, app: FastAPI, *, reads: bool = True) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self._reads = reads
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()
        self._running = asyncio.create_task(app(self._scope(), self._receive, self._send))

    @staticmethod
    def _scope() -> dict[str, Any]:
        asgi = {"version": "3.0", "spec_version": "2.3"}
        path = {"path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "scheme": "http"}
        return {"type": "http", "asgi": asgi, "http_version": "1.1", "method": "GET", "headers": [], **path}

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.headers = message["headers"]
        elif message["body"]:
            self.parts.append(message["body"])
            self._changed.set()
            if not self._reads:
                await self._gone.wait()

    async def seen(self, found: Callable[[bytes], bool]) -> None:
        """Returns once `found` is true of the body so far."""
        async with asyncio.timeout(10):
            while not found(b"".join(self.parts)):
                self._changed.clear()
                await self._changed.wait()

    async def body(self) -> bytes:
        """The whole body, once the server has ended it."""
        async with asyncio.timeout(10):
            await self._running
        return b"".join(self.parts)

    async def leave(self) -> None:
        self._gone.set()
        await self.body()


def app(events: Callable[[], Events], end: dt.datetime | None = None) -> FastAPI:
    """One stream at `/`, wired as every stream is."""

    async def opened() -> AsyncIterator[Events]:
        async with events_for_reader(events(), end) as found:
            yield found

    made = FastAPI()

    @made.get("/", response_class=EventSourceResponse, dependencies=[Depends(no_store)])
    async def stream(found: Annotated[Events, Depends(opened)]) -> AsyncIterator[ServerSentEvent]:
        yield OPEN
        async for event in found:
            yield event

    return made


async def test_events_are_framed_by_lines_behind_a_first_comment_and_nobody_keeps_them() -> None:
    async def events() -> Events:
        yield ServerSentEvent(raw_data='{"a": "一"}', id="7", event="entry")
        yield ServerSentEvent(raw_data="two\r\nlines")

    reader = Reader(app(events))
    frames = (await reader.body()).decode().split("\n\n")
    assert frames == [": open", 'event: entry\ndata: {"a": "一"}\nid: 7', "data: two\ndata: lines", ""]
    assert (b"x-accel-buffering", b"no") in reader.headers
    assert b"no-store" in [value for name, value in reader.headers if name == b"cache-control"]
    assert dict(reader.headers)[b"content-type"].startswith(b"text/event-stream")


async def test_silence_is_filled_without_losing_the_event_that_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    come = asyncio.Event()

    async def events() -> Events:
        await come.wait()
        yield ServerSentEvent(raw_data="late")

    reader = Reader(app(events))
    await reader.seen(lambda body: body.count(b"\n: ") >= 2)
    come.set()
    assert b"data: late" in await reader.body()


@pytest.mark.parametrize("busy", [True, False])
async def test_a_stream_ends_when_its_time_is_over_however_much_comes(busy: bool) -> None:
    closed = asyncio.Event()

    async def events() -> Events:
        try:
            while True:
                yield ServerSentEvent(raw_data="x")
                await asyncio.sleep(0 if busy else 3600)
        finally:
            closed.set()

    end = machine_now() + dt.timedelta(seconds=0.2)
    body = await Reader(app(events, end)).body()
    assert machine_now() >= end
    assert b"data: x\n\n" in body
    assert closed.is_set()


async def test_a_stream_whose_time_is_over_sends_nothing() -> None:
    async def events() -> Events:
        yield ServerSentEvent(raw_data="x")

    assert await Reader(app(events, machine_now())).body() == b": open\n\n"


async def test_a_timeout_of_the_source_is_no_end_of_the_session() -> None:
    async def events() -> Events:
        yield ServerSentEvent(raw_data="x")
        raise TimeoutError("the database")

    async with events_for_reader(events(), machine_now() + dt.timedelta(hours=1)) as found:
        await anext(found)
        with pytest.raises(TimeoutError, match="the database"):
            await anext(found)


async def test_a_fault_of_the_source_is_not_hidden() -> None:
    async def events() -> Events:
        yield ServerSentEvent(raw_data="x")
        raise ValueError("the catalogue")

    with pytest.raises(ExceptionGroup) as raised:
        await Reader(app(events)).body()
    assert raised.group_contains(ValueError, match="the catalogue")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("session", [None, dt.timedelta(hours=1)])
async def test_the_source_is_closed_when_the_reader_goes(reads: bool, session: dt.timedelta | None) -> None:
    """Also of a reader that has not read: then the source is not waiting itself."""
    closed = asyncio.Event()

    async def events() -> Events:
        try:
            while True:
                yield ServerSentEvent(raw_data="x")
                if reads:
                    await asyncio.Event().wait()
        finally:
            closed.set()

    reader = Reader(app(events, session and machine_now() + session), reads=reads)
    await reader.seen(lambda body: (b"data: x" if reads else b": open") in body)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not closed.is_set()
    await reader.leave()
    assert closed.is_set()
