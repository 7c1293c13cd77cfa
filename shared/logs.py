"""Structured logs: one JSON object a line, a constant message with named fields, never one line per event.

`trace_id` is the correlation id without dashes, so that one case reads as one trace across all services.
"""

import logging
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

import orjson
import structlog

correlation: ContextVar[str | None] = ContextVar("correlation", default=None)


def _add_trace(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    current = correlation.get()
    if current is not None and "trace_id" not in fields:
        fields["trace_id"] = current.replace("-", "")
    return fields


def _to_json(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()


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
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        force=True,
        format=f'{{"service":"{service}","level":"%(levelname)s","logger":"%(name)s","event":"%(message)s"}}',
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry the module's name."""
    return structlog.get_logger(module=name)  # type: ignore[no-any-return]
