"""Structured logs: one JSON object a line, a constant message with named fields, never one line per event.

`trace_id` is the correlation id without dashes, so that one case reads as one trace across all services.
"""

import logging
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

_MOST_SENTENCES = 1000
correlation: ContextVar[str | None] = ContextVar("correlation", default=None)


def _add_trace(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = correlation.get()
    if current is not None and "trace_id" not in fields:
        fields["trace_id"] = current.replace("-", "")
    return fields


def _to_json(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


class _LibraryLine(logging.Formatter):
    """What a library says, as a line like ours."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "logger": record.name,
            "event": record.getMessage(),
            "service": self._service,
            "level": record.levelname.lower(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _to_json(line)


class _Seldom(logging.Filter):
    """The same sentence of a library at most every ten seconds.

    While a broker is away its client says sixty a second, which costs more than the waiting itself.
    """

    def __init__(self, seconds: float = 10) -> None:
        super().__init__()
        self._seconds = seconds
        self._next: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key, now = (record.name, str(record.msg)[:100]), time.monotonic()
        if len(self._next) > _MOST_SENTENCES:
            self._next.clear()
        if now < self._next.get(key, now):
            return False
        self._next[key] = now + self._seconds
        return True


def setup_logs(service: str, level: str = "info") -> None:
    """Sends our logs, and those of libraries from warning on, to standard error as JSON lines."""
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
    """A logger whose lines carry the module's name."""
    return structlog.get_logger(module=name)  # type: ignore[no-any-return]
