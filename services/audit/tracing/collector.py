"""Client of an OpenTelemetry collector: OTLP/HTTP with JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from services.audit.tracing.otlp import document
from services.audit.tracing.spans import Span
from shared.bounded_client import BoundedClient

_TIMEOUT_SECONDS = 10.0  # the default of OTEL_EXPORTER_OTLP_TIMEOUT
_LONGEST_REASON = 200
_MOST_BYTES = 1 << 16  # an answer has two members


@dataclass(frozen=True, slots=True)
class Accepted:
    """The collector took the spans except `refused` of them, for `reason`; those must not be sent again."""

    refused: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """It took none of them. `after` is the number of seconds that it asked to wait."""

    reason: str
    after: float | None = None
    too_large: bool = False


class Collector:
    """Async context manager around the connection. `url` is where traces are posted to."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._client = BoundedClient(
            most_bytes=_MOST_BYTES,
            seconds=_TIMEOUT_SECONDS,
            timeout=_TIMEOUT_SECONDS,
            headers={**headers, "Content-Type": "application/json"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, spans: Sequence[Span]) -> Accepted | Retry:
        """One attempt; never raises for a fault of the network or the collector.

        Statuses that OTLP calls final (400, 401, 404 ...) are retried too: a wrong address or key must lose
        no span.
        """
        try:
            answer = await self._client.post(self._url, content=orjson.dumps(document(spans)))
        except httpx.HTTPError as error:
            return Retry(f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
        if answer.is_success:
            return _accepted(answer)
        too_large = answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        return Retry(f"HTTP {answer.status_code}", _retry_after(answer), too_large)


def _accepted(answer: httpx.Response) -> Accepted:
    """The outcome in `partialSuccess`; a successful answer in another format took all spans."""
    try:
        body: Any = orjson.loads(answer.content)
        partial = body["partialSuccess"]
        return Accepted(
            int(partial.get("rejectedSpans", 0)), str(partial.get("errorMessage", ""))[:_LONGEST_REASON]
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Accepted()


def _retry_after(answer: httpx.Response) -> float | None:
    """Retry-After in seconds, the only form that OTLP has."""
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else None
