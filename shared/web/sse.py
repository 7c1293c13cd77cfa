"""Server-Sent Events (HTML standard 9.2): a live stream over plain HTTP that a browser resumes by itself."""

import asyncio
import datetime as dt
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import StreamingResponse

from shared.clock import machine_now

HEARTBEAT_SECONDS = 15.0

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` is what a browser sends as Last-Event-ID when it comes back."""

    data: str
    id: str | None = None
    event: str | None = None

    def encode(self) -> bytes:
        lines = []
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.event is not None:
            lines.append(f"event: {self.event}")
        lines += [f"data: {line}" for line in _LINE_END.split(self.data)]
        return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def last_event_id(request: Request) -> str | None:
    """Where a returning reader left off; None at the first visit.

    Browsers send the header when they reconnect by themselves. A script that begins anew cannot set it, and
    sends the parameter `lastEventId`.
    """
    return request.headers.get("last-event-id") or request.query_params.get("lastEventId") or None


def event_stream(
    events: AsyncGenerator[ServerEvent, None],
    heartbeat: float = HEARTBEAT_SECONDS,
    *,
    until: dt.datetime | None = None,
) -> StreamingResponse:
    """A response that sends `events` as they come, and a comment every `heartbeat` seconds of silence.

    The comment keeps proxies from closing the connection and lets us see that a reader has gone. The
    generator is closed when the reader goes, and at `until` (machine time): who was allowed to read for a
    while must come back and ask again.
    """
    return StreamingResponse(
        _lines(events, heartbeat, until),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _lines(
    events: AsyncGenerator[ServerEvent, None], heartbeat: float, until: dt.datetime | None
) -> AsyncIterator[bytes]:
    yield b": open\n\n"
    pending: asyncio.Task[ServerEvent] | None = None
    try:
        while (left := _seconds_left(until)) > 0:
            # The task outlives a heartbeat: cancelling a generator half-way would end it.
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({pending}, timeout=min(heartbeat, left))
            if not done:
                yield b": still here\n\n"
                continue
            try:
                event = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield event.encode()
    finally:
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        await events.aclose()


def _seconds_left(until: dt.datetime | None) -> float:
    return math.inf if until is None else (until - machine_now()).total_seconds()
