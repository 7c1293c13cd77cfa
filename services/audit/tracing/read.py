"""Reads traces from the log."""

import re
from collections.abc import Sequence

from services.audit.queries import Tables
from services.audit.tracing import queries
from services.audit.tracing.events import LoggedEvent
from services.audit.tracing.spans import Span, spans, surroundings
from shared.ids import is_id

_STEP = 1000
_ID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.ASCII)


async def find(tables: Tables, reference: str) -> str | None:
    """The correlation id for a reference: itself, a case's id, an event's id, or a `trace_id` of the logs.

    None if the log has no event of such a trace.
    """
    reference = reference.strip()
    if not reference.isprintable() or not 1 <= len(reference) <= 200:
        return None
    if _ID.fullmatch(reference.lower()):
        digits = reference.lower().replace("-", "")
        reference = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        for event in await queries.events_by_id(tables, [reference]):
            return event.correlation
    found, _ = await read_page(tables, reference, 0, 1)
    return reference if found else None


async def read_page(
    tables: Tables, correlation: str, start: int, limit: int
) -> tuple[list[Span], int | None]:
    """At most `limit` spans of a trace in log order from index `start` on; and the next index, or None."""
    subjects = await queries.subjects_of_trace(tables, correlation)
    found: list[LoggedEvent] = []
    while subjects and len(found) <= limit:
        events = await queries.events_of_subjects(tables, subjects, start, _STEP)
        found += [event for event in events if event.correlation == correlation]
        if len(events) < _STEP:
            break
        start = events[-1].index + 1
    page = found[:limit]
    next_index = found[limit].index if len(found) > limit else None
    return await _in_surroundings(tables, page), next_index


async def read_log(tables: Tables, start: int, end: int) -> list[Span]:
    """The spans of all events among the entries [start, end)."""
    return await _in_surroundings(tables, await queries.events_between(tables, start, end))


async def _in_surroundings(tables: Tables, events: Sequence[LoggedEvent]) -> list[Span]:
    own = {event.id for event in events}
    correlations = {event.correlation for event in events}
    # A trace without a subject of its name has the name of the event with which it began.
    wanted = {event.cause for event in events if event.cause} | correlations
    ids = sorted(name for name in wanted if name not in own and is_id(name))
    others = await queries.events_by_id(tables, ids) if ids else []
    if correlations:
        others += await queries.trace_beginnings(tables, sorted(correlations))
    known = [event for event in others if event.id not in own]
    return spans(events, surroundings(events, known))
