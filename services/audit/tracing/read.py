"""Traces from the tables of the log."""

import re
from collections.abc import Sequence
from typing import Protocol

import asyncpg
import orjson

from services.audit.queries import QUERIES
from services.audit.tracing.events import LoggedEvent
from services.audit.tracing.spans import Span, spans, surroundings
from shared.ids import is_id

_STEP = 1000
_ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.ASCII)


class Tables(Protocol):
    """A pool or a connection."""

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """The rows of a query."""
        ...


async def find(tables: Tables, reference: str) -> str | None:
    """The correlation id that is meant: itself, a case's id, an event's id, or a `trace_id` of the logs.

    None if the log has no event of such a trace.
    """
    reference = reference.strip()
    if not reference.isprintable() or not 1 <= len(reference) <= 200:
        return None
    if _ID.fullmatch(reference.lower()):
        digits = reference.lower().replace("-", "")
        reference = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        for row in await tables.fetch(QUERIES["events_by_id"], [reference]):
            return _logged(row).correlation
    found, _ = await read_page(tables, reference, 0, 1)
    return reference if found else None


async def read_page(
    tables: Tables, correlation: str, start: int, limit: int
) -> tuple[list[Span], int | None]:
    """Spans of a trace in log order, from log index `start` on; and where to go on, None at its end."""
    subjects = [row["no"] for row in await tables.fetch(QUERIES["subjects_of_trace"], correlation)]
    found: list[LoggedEvent] = []
    while subjects and len(found) <= limit:
        rows = await tables.fetch(QUERIES["events_of_subjects"], subjects, start, _STEP)
        events = (_logged(row) for row in rows)
        found += [event for event in events if event.correlation == correlation]
        if len(rows) < _STEP:
            break
        start = rows[-1]["index"] + 1
    page = found[:limit]
    going_on = found[limit].index if len(found) > limit else None
    return await _in_surroundings(tables, page), going_on


async def read_log(tables: Tables, start: int, end: int) -> list[Span]:
    """The spans of all events in the log's places from `start` to before `end`."""
    rows = await tables.fetch(QUERIES["events_between"], start, end)
    return await _in_surroundings(tables, [_logged(row) for row in rows])


async def _in_surroundings(tables: Tables, events: Sequence[LoggedEvent]) -> list[Span]:
    own = {event.id for event in events}
    correlations = {event.correlation for event in events}
    # A trace without a subject of its name has the name of the event with which it began.
    wanted = {event.cause for event in events if event.cause} | correlations
    ids = sorted(name for name in wanted if name not in own and is_id(name))
    others = await tables.fetch(QUERIES["events_by_id"], ids) if ids else []
    if correlations:
        others += await tables.fetch(QUERIES["trace_beginnings"], sorted(correlations))
    known = [event for event in map(_logged, others) if event.id not in own]
    return spans(events, surroundings(events, known))


def _logged(row: asyncpg.Record) -> LoggedEvent:
    entry, event = orjson.loads(row["entry"]), orjson.loads(row["value"])
    return LoggedEvent(
        row["index"], row["appended_ms"], entry["topic"], entry["partition"], entry["offset"], event
    )
