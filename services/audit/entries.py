"""An entry as audit's readers see it: its place in the log, and the event's facts. Never the words."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from services.audit.queries import QUERIES
from shared.unit_of_work.database import Database


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `event` is None for what was no event of ours."""

    index: int
    kind: str
    appended: dt.datetime
    source: str | None
    type: str | None
    subject: str
    event: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """What the stream and the API say of it."""
        return {
            "index": self.index,
            "kind": self.kind,
            "appended": self.appended.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "event": self.event,
        }


async def read_from(database: Database, index: int, limit: int) -> list[Entry]:
    """Entries in log order from `index` on."""
    return [_entry(row) for row in await database.pool.fetch(QUERIES["entries_from"], index, limit)]


async def newest_before(database: Database, index: int, limit: int) -> list[Entry]:
    """Entries below `index`, newest first."""
    return [_entry(row) for row in await database.pool.fetch(QUERIES["newest_entries"], index, limit)]


async def of_subject(database: Database, subject: str, index: int, limit: int) -> list[Entry]:
    """All that the log has of one subject, in log order."""
    return [
        _entry(row) for row in await database.pool.fetch(QUERIES["entries_of_subject"], subject, index, limit)
    ]


def _entry(row: asyncpg.Record) -> Entry:
    event = None
    if row["value"] is not None:
        event = orjson.loads(row["value"])
    appended = dt.datetime.fromtimestamp(row["appended_ms"] / 1000, dt.UTC)
    return Entry(row["index"], row["kind"], appended, row["source"], row["type"], row["subject"], event)
