"""An event of the log for tracing. Never raises, whatever a value holds."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.ids import trace_id

_SERVICE = re.compile(r"/services/([a-z]{1,50})(?=/|\Z)", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FIRST = "0000000001"
_LATEST = 2**64  # OTLP's times are 64 bits of nanoseconds: they end in the year 2554


@dataclass(frozen=True)
class LoggedEvent:
    """One event: `event` is its CloudEvent, the rest its position and time in topic and log."""

    index: int
    appended_ms: int
    topic: str
    partition: int
    offset: int
    event: Mapping[str, Any]

    @cached_property
    def id(self) -> str:
        return self.text("id") or ""

    @cached_property
    def correlation(self) -> str:
        """The trace that it belongs to: its correlation id, else its subject."""
        return self.text("correlationid") or self.text("subject") or ""

    @cached_property
    def trace(self) -> str:
        return trace_id(self.correlation)

    @cached_property
    def cause(self) -> str | None:
        """The id of the event or action that caused it, according to its producer."""
        cause = self.text("causationid")
        return None if cause == self.id else cause

    @cached_property
    def may_begin_its_trace(self) -> bool:
        """Whether the trace is named after it, or after its subject, of which it is a source's first."""
        named_after_subject = self.text("subject") == self.correlation
        return self.id == self.correlation or (named_after_subject and self.text("sequence") == _FIRST)

    @cached_property
    def service(self) -> str:
        """Of the source `/services/<name>`, or of what is below it."""
        match = _SERVICE.match(self.text("source") or "")
        return match[1] if match else "unknown"

    @cached_property
    def time(self) -> int:
        """When it happened, in nanoseconds since 1970; the broker's time if `time` cannot be read."""
        time = self._moment("time")
        return self.appended_ms * 1_000_000 if time is None else time

    @cached_property
    def effective(self) -> int:
        """When the act reached us, in nanoseconds since 1970."""
        effective = self._moment("effectivetime")
        return self.time if effective is None else effective

    def text(self, name: str) -> str | None:
        """An attribute, if it is a text and not empty."""
        value = self.event.get(name)
        return value if isinstance(value, str) and value else None

    def _moment(self, name: str) -> int | None:
        try:
            moment = dt.datetime.fromisoformat(self.text(name) or "")
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        nanoseconds = (moment - _EPOCH) // _MICROSECOND * 1000
        return nanoseconds if 0 <= nanoseconds < _LATEST else None
