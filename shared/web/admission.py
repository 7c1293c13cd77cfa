"""How many requests a process works on at a time, and for how long; what comes on top is answered 503.

Without a bound a crowd is served in its order, each after all others, and who has given up is still worked
for. Health checks, metrics and static files are always answered. Streams are counted apart: they stay open
for hours and cost nothing while nothing happens.
"""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.web.answers import answer
from shared.web.metrics import HTTP_IN_PROGRESS, HTTP_SHED
from shared.web.problems import Problem

_RETRY_SECONDS = 5
# The client's own slowness counts less, but not nothing: a request holds a place while its body arrives.
_BODY_SECONDS = 30.0
_ALWAYS = ("/healthz", "/readyz", "/metrics")
_STATIC = "/static/"
_STREAM = b"text/event-stream"


class Admission:
    """ASGI middleware.

    Parameters
    ----------
    app
        The application inside.
    service
        The label of its metrics.
    requests, streams
        How many of each are served at a time.
    seconds
        How long an answer may take to begin, from the last byte of the request.
    """

    def __init__(self, app: ASGIApp, *, service: str, requests: int, streams: int, seconds: float) -> None:
        self._app = app
        self._service = service
        self._limits = {"request": requests, "stream": streams}
        self._open = {"request": 0, "stream": 0}
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _ALWAYS or scope["path"].startswith(_STATIC):
            await self._app(scope, receive, send)
        elif self._is_full("request"):
            await self._shed("request", overloaded(), scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(self)
        visit.enter("request")
        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, visit.received(receive, limit), visit.sent(send, limit))
        except Exception as error:  # the framework wraps what `send` raises
            if visit.found_no_place:
                await self._shed("stream", overloaded(), scope, receive, send)
            elif isinstance(error, TimeoutError) and limit.expired():
                await self._shed("late", too_slow(), scope, receive, send)
            else:
                raise
        finally:
            visit.leave()

    async def _shed(self, why: str, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        HTTP_SHED.labels(self._service, why).inc()
        await answer(Request(scope, receive), problem)(scope, receive, send)

    def _is_full(self, kind: str) -> bool:
        return self._open[kind] >= self._limits[kind]

    def _count(self, kind: str, change: int) -> None:
        self._open[kind] += change
        HTTP_IN_PROGRESS.labels(self._service, kind).set(self._open[kind])


class _TooManyStreamsError(Exception):
    """A stream is about to begin, and as many as may be open are."""


class _Visit:
    """One admitted request: which place it holds, and whether its time still runs."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.found_no_place = False
        self._kind: str | None = None
        self._began = False

    def enter(self, kind: str) -> None:
        self.leave()
        self._kind = kind
        self._admission._count(kind, 1)

    def leave(self) -> None:
        if self._kind is not None:
            self._admission._count(self._kind, -1)
            self._kind = None

    def received(self, receive: Receive, limit: asyncio.Timeout) -> Receive:
        """`receive`, while which the client's time runs instead of ours."""
        now = asyncio.get_running_loop().time

        async def timed() -> Message:
            if self._began:
                return await receive()
            limit.reschedule(now() + _BODY_SECONDS)
            message = await receive()
            limit.reschedule(now() + self._admission._seconds)
            return message

        return timed

    def sent(self, send: Send, limit: asyncio.Timeout) -> Send:
        """`send`, which ends the time limit with the answer's beginning, and tells streams from requests."""

        async def timed(message: Message) -> None:
            if message["type"] == "http.response.start":
                if _is_stream(message):
                    if self._admission._is_full("stream"):
                        self.found_no_place = True
                        raise _TooManyStreamsError
                    self.enter("stream")
                self._began = True
                limit.reschedule(None)
            await send(message)

        return timed


def _is_stream(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(_STREAM) for name, value in start["headers"])


def overloaded() -> Problem:
    """503 for a request that was not begun."""
    return Problem(
        503,
        "overloaded",
        "Too many requests at a time",
        "Nothing was stored. Try again in some seconds, with the same Idempotency-Key.",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )


def too_slow() -> Problem:
    """503 for a request that was begun and given up."""
    return Problem(
        503,
        "too-slow",
        "This takes too long for the moment",
        "Whether it was stored is not known. Try again in some seconds, with the same Idempotency-Key: "
        "nothing is taken twice.",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )
