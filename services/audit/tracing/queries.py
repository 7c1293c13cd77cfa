"""SQL of traces: events of the log, and the cursor of the exporter."""

from collections.abc import Sequence

import asyncpg
import orjson

from services.audit.queries import Tables
from services.audit.tracing.events import LoggedEvent
from shared import sql
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.audit.tracing")


async def avoid_scans(connection: Connection) -> None:
    """Keeps the session's plans on indexes."""
    await connection.execute(_SQL["avoid_scans"])


async def subjects_of_trace(tables: Tables, correlation: str) -> list[int]:
    """The numbers of the subjects that have events of a trace."""
    return [row["no"] for row in await tables.fetch(_SQL["subjects_of_trace"], correlation)]


async def events_of_subjects(
    tables: Tables, subjects: Sequence[int], start: int, limit: int
) -> list[LoggedEvent]:
    """At most `limit` events about these subjects in log order, from index `start` on."""
    return await _events(tables, "events_of_subjects", subjects, start, limit)


async def events_between(tables: Tables, start: int, end: int) -> list[LoggedEvent]:
    """The events among the entries [start, end), in log order."""
    return await _events(tables, "events_between", start, end)


async def events_by_id(tables: Tables, ids: Sequence[str]) -> list[LoggedEvent]:
    """The events with these ids (UUIDs), in log order."""
    return await _events(tables, "events_by_id", ids)


async def trace_beginnings(tables: Tables, correlations: Sequence[str]) -> list[LoggedEvent]:
    """Of each subject with such a name, the first event of each source."""
    return await _events(tables, "trace_beginnings", correlations)


async def begin_export(connection: Connection) -> int:
    """The index of the next entry to export; the end of the log if nothing was ever exported."""
    await connection.execute(_SQL["begin_trace_export"])
    index: int = await connection.fetchval(_SQL["trace_export_next"])
    return index


async def advance_export(connection: Connection, start: int, end: int) -> bool:
    """Moves the cursor from `start` to `end`; False if another process has moved it."""
    return await connection.fetchval(_SQL["advance_trace_export"], start, end) is not None


async def _events(tables: Tables, statement: str, *arguments: object) -> list[LoggedEvent]:
    return [_event(row) for row in await tables.fetch(_SQL[statement], *arguments)]


def _event(row: asyncpg.Record) -> LoggedEvent:
    entry, event = orjson.loads(row["entry"]), orjson.loads(row["value"])
    return LoggedEvent(
        row["index"], row["appended_ms"], entry["topic"], entry["partition"], entry["offset"], event
    )
