"""SQL of audit's readers. The writer's statements are in `log/`, those of traces in `tracing/`."""

import datetime as dt
from dataclasses import dataclass

import asyncpg
import orjson

from services.audit.entries import EntryView
from services.audit.log.entry import LAST_MS, parse_entry
from services.audit.log.reset import reset_of
from shared import sql
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.audit")
Tables = Connection | asyncpg.Pool
"""Where a query runs: a connection, or any one of the pool."""


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the log with what its proof needs. `erased`: the key of its subject is destroyed."""

    index: int
    entry: bytes
    erased: bool


async def try_lock(connection: Connection, key: int) -> bool:
    """Takes the advisory lock `key` for the session of `connection`, unless another session holds it."""
    return bool(await connection.fetchval(_SQL["try_lock"], key))


async def log_size(tables: Tables) -> int:
    """The number of entries that are committed."""
    size: int = await tables.fetchval(_SQL["log_size"])
    return size


async def entry_of_event(tables: Tables, event_id: str) -> LoggedEntry | None:
    """The first entry of the event with this id (a UUID); None if it is not logged."""
    row = await tables.fetchrow(_SQL["entry_of_event"], event_id)
    return None if row is None else LoggedEntry(*row.values())


async def entries_from(tables: Tables, index: int, limit: int) -> list[EntryView]:
    """At most `limit` entries in log order, from `index` on."""
    return [_entry(row) for row in await tables.fetch(_SQL["entries_from"], index, limit)]


async def newest_entries(tables: Tables, before: int, limit: int) -> list[EntryView]:
    """At most `limit` entries below index `before`, newest first."""
    return [_entry(row) for row in await tables.fetch(_SQL["newest_entries"], before, limit)]


async def entries_of_subject(tables: Tables, subject: str, index: int, limit: int) -> list[EntryView]:
    """At most `limit` entries about `subject` in log order, from `index` on."""
    return [_entry(row) for row in await tables.fetch(_SQL["entries_of_subject"], subject, index, limit)]


def _entry(row: asyncpg.Record) -> EntryView:
    return EntryView(
        index=row["index"],
        kind=row["kind"],
        appended=dt.datetime.fromtimestamp(_in_calendar(row["appended_ms"]) / 1000, dt.UTC),
        source=row["source"],
        type=row["type"],
        subject=row["subject"],
        event=None if row["value"] is None else orjson.loads(row["value"]),
        reset=None if row["reset"] is None else reset_of(parse_entry(row["reset"])),
    )


def _in_calendar(milliseconds: int) -> int:
    """Where the producer sets the time it may be any; a zone moves it by up to a day."""
    return min(max(milliseconds, 0), LAST_MS - 86_400_000)
