"""SQL of audit's readers. The writer's statements are in `log/`, those of traces in `tracing/`."""

import datetime as dt
from dataclasses import dataclass

import asyncpg
import orjson

from services.audit.entries import Entry
from shared import sql
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.audit")
Reader = Connection | asyncpg.Pool


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the log with what its proof needs. `erased`: the key of its subject is destroyed."""

    index: int
    entry: bytes
    erased: bool


async def try_lock(connection: Connection, key: int) -> bool:
    """Takes the advisory lock `key` for the session of `connection`, unless another session holds it."""
    return bool(await connection.fetchval(_SQL["try_lock"], key))


async def log_size(connection: Reader) -> int:
    """The number of entries that are committed."""
    size: int = await connection.fetchval(_SQL["log_size"])
    return size


async def entry_of_event(connection: Reader, event_id: str) -> LoggedEntry | None:
    """The first entry of the event with this id (a UUID); None if it is not logged."""
    row = await connection.fetchrow(_SQL["entry_of_event"], event_id)
    return None if row is None else LoggedEntry(*row.values())


async def entries_from(connection: Reader, index: int, limit: int) -> list[Entry]:
    """At most `limit` entries in log order, from `index` on."""
    return [_entry(row) for row in await connection.fetch(_SQL["entries_from"], index, limit)]


async def newest_entries(connection: Reader, before: int, limit: int) -> list[Entry]:
    """At most `limit` entries below index `before`, newest first."""
    return [_entry(row) for row in await connection.fetch(_SQL["newest_entries"], before, limit)]


async def entries_of_subject(connection: Reader, subject: str, index: int, limit: int) -> list[Entry]:
    """At most `limit` entries about `subject` in log order, from `index` on."""
    return [_entry(row) for row in await connection.fetch(_SQL["entries_of_subject"], subject, index, limit)]


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(
        index=row["index"],
        kind=row["kind"],
        appended=dt.datetime.fromtimestamp(row["appended_ms"] / 1000, dt.UTC),
        source=row["source"],
        type=row["type"],
        subject=row["subject"],
        event=None if row["value"] is None else orjson.loads(row["value"]),
    )
