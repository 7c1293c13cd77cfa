"""An OpenTelemetry collector, spoken to by OTLP/HTTP with JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from services.audit.tracing.otlp import document
from services.audit.tracing.spans import Span

_TIMEOUT_SECONDS = 10.0  # the default of OTEL_EXPORTER_OTLP_TIMEOUT
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """The collector has the spans, but for `refused` of them, for `reason`: those must not be sent again."""

    refused: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """It has none of them. `after` are the seconds that it wants to be left alone."""

    reason: str
    after: float | None = None
    too_large: bool = False


class Collector:
    """Async context manager around the connection. `url` is where traces are posted to."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT_SECONDS, headers={**headers, "Content-Type": "application/json"}
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, spans: Sequence[Span]) -> Taken | Later:
        """One attempt; nothing is raised for what the network or the collector does.

        What OTLP calls final (400, 401, 404 ...) is for later too: a wrong address or key must lose no span.
        """
        try:
            answer = await self._client.post(self._url, content=orjson.dumps(document(spans)))
        except httpx.HTTPError as error:
            return Later(type(error).__name__)
        if answer.is_success:
            return _taken(answer)
        too_large = answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        return Later(f"HTTP {answer.status_code}", _retry_after(answer), too_large)


def _taken(answer: httpx.Response) -> Taken:
    """What `partialSuccess` says; an answer that is not OTLP's still took the request."""
    try:
        body: Any = orjson.loads(answer.content)
        partial = body["partialSuccess"]
        return Taken(
            int(partial.get("rejectedSpans", 0)), str(partial.get("errorMessage", ""))[:_LONGEST_REASON]
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Taken()


def _retry_after(answer: httpx.Response) -> float | None:
    """Retry-After in seconds, which is all that OTLP knows."""
    value = answer.headers.get("retry-after", "").strip()
    return float(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else None
