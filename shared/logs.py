"""Structured logs: one JSON object per line, a constant message with named fields, never a line per event.

A line about one case has its `trace_id` (`shared.ids.trace_id`): the same in all services, in
`civicloom trace` and in an OpenTelemetry collector.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

from shared.ids import trace_id

_MAX_SENTENCES = 1000
Correlation = str | Callable[[], str | None] | None
_correlation: ContextVar[Correlation] = ContextVar("correlation", default=None)


@contextmanager
def about(correlation: Correlation) -> Iterator[None]:
    """Lines logged inside, by libraries too, get the trace of this correlation id (a case's id).

    A function is called when a line is written, for an id that is only known later.
    """
    before = _correlation.set(correlation)
    try:
        yield
    finally:
        _correlation.reset(before)


def concerns(correlation: str) -> None:
    """Sets the trace of the lines that follow, until the surrounding `about` ends."""
    _correlation.set(correlation)


def _add_trace(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = _correlation.get()
    if callable(current):
        current = current()
    if current is not None:
        fields["trace_id"] = trace_id(current)
    return fields


def _to_json(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


class _LibraryLine(logging.Formatter):
    """Formats a library's log record as a JSON line like ours."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "logger": record.name,
            "event": record.getMessage(),
            "service": self._service,
            "level": record.levelname.lower(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _to_json(_add_trace(None, "", line))


class _Seldom(logging.Filter):
    """Passes the same sentence of a library at most once in ten seconds.

    While a broker is away its client logs sixty lines a second, which costs more than the waiting itself.
    """

    def __init__(self, seconds: float = 10) -> None:
        super().__init__()
        self._seconds = seconds
        self._next: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, str(record.msg)[:100]), time.monotonic()
        if len(self._next) > _MAX_SENTENCES:
            self._next.clear()
        if now < self._next.get(key, now):
            return False
        self._next[key] = now + self._seconds
        return True


def setup_logs(service: str, level: str = "info") -> None:
    """Writes our logs from `level` on, and libraries' from warning on, to standard error as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(_LibraryLine(service))
    libraries.addFilter(_Seldom())
    logging.basicConfig(level=logging.WARNING, force=True, handlers=[libraries])


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines have the field `module`."""
    return structlog.get_logger(module=name)  # type: ignore[no-any-return]
