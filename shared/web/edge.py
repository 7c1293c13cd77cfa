"""The outermost middleware of every service: body limit, security headers, metrics, unexpected errors.

Plain ASGI, because Starlette's `BaseHTTPMiddleware` buffers streams and costs a task per request.
"""

import secrets
import time

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.ids import is_id
from shared.infrastructure import is_infrastructure
from shared.logs import about, get_logger
from shared.web.answers import answer
from shared.web.metrics import HTTP_SECONDS
from shared.web.problems import Problem, of_status, unavailable, unexpected

MAX_BODY_BYTES = 256 * 1024

_CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_SECURITY_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(self), camera=(), microphone=()",
    "Cache-Control": "no-store",  # a page may show a case; what may be cached overrides this
}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The path parameters by which routes name their case, publication or subscription.
_SUBJECTS = ("inquiry", "reference", "identifier", "subscription")
_log = get_logger(__name__)


class EdgeMiddleware:
    """ASGI middleware.

    Parameters
    ----------
    app
        The application inside.
    service
        The label of its metrics.
    https
        Adds Strict-Transport-Security.
    """

    def __init__(self, app: ASGIApp, *, service: str, https: bool) -> None:
        self._app = app
        self._service = service
        headers = _SECURITY_HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with about(lambda: _subject(scope)):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                given = {name for name, _ in message["headers"]}
                ours = [header for header in self._headers if header[0] not in given]
                message["headers"] = [*message["headers"], *ours]
                self._measure(scope, message["status"], time.monotonic() - began)
            await send(message)

        request = Request(scope, receive)
        try:
            refusal = _refusal(request)
            if refusal is not None:
                await answer(request, refusal)(scope, receive, send_with_headers)
            else:
                await self._app(scope, _limited(receive), send_with_headers)
        except ClientDisconnect:
            return
        except Exception as error:
            if is_infrastructure(error) and not started:
                # An outage and not a bug: nothing was stored, and the client tries again.
                _log.warning("a request met an outage", route=_route(scope), error=repr(error))
                await answer(request, unavailable())(scope, receive, send_with_headers)
                return
            reference = secrets.token_hex(6)
            _log.exception(
                "a request failed", reference=reference, route=_route(scope), error=type(error).__name__
            )
            if started:
                raise
            await answer(request, unexpected(reference))(scope, receive, send_with_headers)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        HTTP_SECONDS.labels(self._service, method, _route(scope), str(status)).observe(seconds)


def _route(scope: Scope) -> str:
    """The route's pattern: paths would make a metric series of every case number."""
    return getattr(scope.get("route"), "path", "unmatched")


def _subject(scope: Scope) -> str | None:
    """The id in the path, once the request is routed: it names the trace as well."""
    found = (scope.get("path_params", {}).get(name) for name in _SUBJECTS)
    return next((text for text in found if isinstance(text, str) and is_id(text)), None)


def _too_large() -> Problem:
    return Problem(
        413, "too-large", "The body is too large", f"At most {MAX_BODY_BYTES // 1024} kB are taken."
    )


def _refusal(request: Request) -> Problem | None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        return _too_large()
    if "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]:
        return Problem(400, "nul", "The character NUL is not text")
    if request.scope["path"].endswith("\n"):
        # Starlette's routes end with `$`, which passes over a newline: two addresses would be one.
        return of_status(HTTPException(404))
    return None


def _limited(receive: Receive) -> Receive:
    """Counts the received bytes: a chunked body has no Content-Length, and a given one may be wrong."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise _too_large()
        return message

    return counted
