"""The notes of a restore, in the database that it restores: they outlive a restore that is killed."""

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg
import orjson

from shared import sql
from shared.unit_of_work.transaction import Connection

QUERIES = sql.load("shared.restore")
FORGOTTEN = "forgotten"
"""A fact of the service that is not in its tables again, by the event's id."""
RECORD = "record"
"""A unit's record that is on its topic, and whose delivery was not stated."""
CASE = "case"
"""A case that was rebuilt, by number."""
INCOMPLETE = "incomplete"
"""A case that misses a part, by its line."""
ERASED = "erased"
"""A subject of which the log says that it was erased."""


async def keep_notes(connection: Connection, what: str, notes: Mapping[str, Any]) -> None:
    """Stores notes by id; one that is there stays as it is."""
    if notes:
        bodies = [orjson.dumps(note).decode() for note in notes.values()]
        await connection.execute(QUERIES["keep_notes"], what, list(notes), bodies)


async def drop_notes(connection: Connection, what: str, ids: Collection[str]) -> None:
    """Removes notes that are settled."""
    await connection.execute(QUERIES["drop_notes"], what, list(ids))


async def read_notes(tables: Connection | asyncpg.Pool, what: str) -> dict[str, Any]:
    """The notes of a kind, by id."""
    rows = await tables.fetch(QUERIES["read_notes"], what)
    return {row["id"]: orjson.loads(row["note"]) for row in rows}
