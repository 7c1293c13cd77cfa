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
_SWEEP_SECONDS = 0.25
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
        self._most_requests = requests
        self._most_streams = streams
        self.seconds = seconds
        self._requests: set[_Visit] = set()
        self._streams: set[_Visit] = set()
        self._sweep_is_due = False
        HTTP_IN_PROGRESS.labels(service, "request").set_function(lambda: len(self._requests))
        HTTP_IN_PROGRESS.labels(service, "stream").set_function(lambda: len(self._streams))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _ALWAYS or scope["path"].startswith(_STATIC):
            await self._app(scope, receive, send)
        elif len(self._requests) >= self._most_requests:
            await self._shed("request", overloaded(), scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = _Visit(self, receive, send)
        self._requests.add(visit)
        self._sweep_soon()
        try:
            await self._app(scope, visit.receive, visit.send)
        except (Exception, asyncio.CancelledError):  # the framework wraps what `send` raises
            if visit.found_no_place:
                await self._shed("stream", overloaded(), scope, receive, send)
            elif visit.is_given_up_by_us() and not visit.began:
                await self._shed("late", too_slow(), scope, receive, send)
            else:
                raise
        finally:
            self._requests.discard(visit)
            self._streams.discard(visit)

    async def _shed(self, why: str, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        HTTP_SHED.labels(self._service, why).inc()
        await answer(Request(scope, receive), problem)(scope, receive, send)

    def becomes_stream(self, visit: "_Visit") -> bool:
        """Gives the request's place back; False if as many streams as may be are open."""
        if len(self._streams) >= self._most_streams:
            return False
        self._requests.discard(visit)
        self._streams.add(visit)
        return True

    def _sweep_soon(self) -> None:
        """One timer for all requests: one for each would cost more than all else that is done here."""
        if not self._sweep_is_due:
            self._sweep_is_due = True
            asyncio.get_running_loop().call_later(min(_SWEEP_SECONDS, self.seconds / 4), self._sweep)

    def _sweep(self) -> None:
        self._sweep_is_due = False
        now = asyncio.get_running_loop().time()
        for visit in self._requests:
            visit.give_up_if_late(now)
        if self._requests:
            self._sweep_soon()


class _TooManyStreamsError(Exception):
    """A stream is about to begin, and as many as may be open are."""


class _Visit:
    """One admitted request."""

    __slots__ = (
        "_admission",
        "_given_up",
        "_receive",
        "_receives",
        "_send",
        "_since",
        "_task",
        "began",
        "found_no_place",
    )

    def __init__(self, admission: Admission, receive: Receive, send: Send) -> None:
        self.began = False
        """Whether its answer has begun: then it has all the time that it needs."""
        self.found_no_place = False
        self._admission = admission
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._since = asyncio.get_running_loop().time()
        self._receives = False
        self._given_up = False

    async def receive(self) -> Message:
        """While the client sends, its time runs and not ours."""
        if self.began:
            return await self._receive()
        self._receives = True
        try:
            return await self._receive()
        finally:
            self._receives = False
            self._since = asyncio.get_running_loop().time()

    async def send(self, message: Message) -> None:
        """Notices when the answer begins, and whether it is a stream."""
        if not self.began and message["type"] == "http.response.start":
            if _is_stream(message) and not self._admission.becomes_stream(self):
                self.found_no_place = True
                raise _TooManyStreamsError
            self.began = True
        await self._send(message)

    def give_up_if_late(self, now: float) -> None:
        limit = _BODY_SECONDS if self._receives else self._admission.seconds
        if not self.began and not self._given_up and now - self._since > limit and self._task is not None:
            self._given_up = True
            self._task.cancel()

    def is_given_up_by_us(self) -> bool:
        """Whether we have cancelled it and nobody else has; takes our cancellation back."""
        return self._given_up and self._task is not None and self._task.uncancel() == 0


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
