"""Server-Sent Events (HTML standard 9.2): what `fastapi.sse` lacks, resuming and an end with the session.

A stream is a route with `response_class=EventSourceResponse` that yields `OPEN` first, over events that a
dependency has entered by `events_for_reader`. FastAPI frames the events and sends a comment every 15 seconds
of silence, which keeps proxies from closing the connection.
"""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from anyio import BrokenResourceError
from fastapi import Response
from fastapi.sse import ServerSentEvent
from starlette.requests import Request

from shared.clock import machine_now

_CLOCKS_DIFFER = 0.001  # seconds by which the loop's clock may run ahead of the machine's

Events = AsyncGenerator[ServerSentEvent, None]

OPEN = ServerSentEvent(comment="open")
"""Sent first, so that a reader knows the stream to be open before anything happens."""


def last_event_id(request: Request) -> str | None:
    """The id of the last event that a returning reader has seen; None at the first visit.

    Browsers send the header when they reconnect by themselves. A script that opens a new EventSource cannot
    set it, and sends the parameter `lastEventId`.
    """
    return request.headers.get("last-event-id") or request.query_params.get("lastEventId") or None


async def no_store(response: Response) -> None:
    """A dependency: forbids caches to store the stream. FastAPI's own `no-cache` would allow it."""
    response.headers["Cache-Control"] = "no-store"


@asynccontextmanager
async def events_for_reader(events: Events, end: dt.datetime | None) -> AsyncIterator[Events]:
    """`events` until the moment `end` (machine time), when the reader's session is over; None: without end.

    Closes them when the stream ends or the reader has gone. An event under way to a reader that leaves is no
    error, though FastAPI 0.165 raises BrokenResourceError for it.
    """
    try:
        async with aclosing(_until(end, events)) as found:
            yield found
    except* BrokenResourceError:
        pass


async def _until(end: dt.datetime | None, events: Events) -> Events:
    try:
        while (left := _seconds_left(end)) is None or left > 0:
            # Not around the `yield`: there the timeout would cancel the consumer.
            limit = asyncio.timeout(None if left is None else left + _CLOCKS_DIFFER)
            try:
                async with limit:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if limit.expired():
                    return
                raise
            yield event
    finally:
        await events.aclose()


def _seconds_left(end: dt.datetime | None) -> float | None:
    return None if end is None else (end - machine_now()).total_seconds()
