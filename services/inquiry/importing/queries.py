"""The SQL of the import: its progress, its rejected rows, and the lock on a source."""

from collections.abc import AsyncIterator, Sequence

import asyncpg

from services.inquiry.importing.translate import Rejection
from shared import sql
from shared.unit_of_work.transaction import Connection

_SQL = sql.load("services.inquiry.importing")
LOST_RACES = (asyncpg.UniqueViolationError, asyncpg.TransactionRollbackError)
"""Errors of a transaction that met another one on the same rows: it can be tried again."""


async def read_progress(pool: asyncpg.Pool, fingerprint: str) -> int:
    """How many records of the file earlier runs have dealt with."""
    records: int | None = await pool.fetchval(_SQL["read_progress"], fingerprint)
    return records or 0


async def keep_progress(connection: Connection, fingerprint: str, records: int) -> None:
    """Stores how many records are dealt with; it never goes back."""
    await connection.execute(_SQL["keep_progress"], fingerprint, records)


async def keep_rejections(connection: Connection, fingerprint: str, rejections: Sequence[Rejection]) -> None:
    """Stores rejected rows; those stored already stay as they are."""
    if rejections:
        rows = [(one.line, one.external_id, one.reason) for one in rejections]
        columns = map(list, zip(*rows, strict=True))
        await connection.execute(_SQL["keep_rejected"], fingerprint, *columns)


async def count_rejections(pool: asyncpg.Pool, fingerprint: str) -> int:
    count: int = await pool.fetchval(_SQL["count_rejected"], fingerprint)
    return count


async def read_rejections(connection: Connection, fingerprint: str) -> AsyncIterator[Rejection]:
    """The rejected rows by line, read through a cursor: needs a transaction."""
    async for row in connection.cursor(_SQL["read_rejected"], fingerprint):
        yield Rejection(row["line"], row["reason"], row["external_id"])


async def allow_any_duration(connection: Connection) -> None:
    """Lifts the limit TRANSACTION_SECONDS from this transaction."""
    await connection.execute(_SQL["allow_any_duration"])


async def forget_import(connection: Connection, fingerprint: str) -> None:
    """Deletes progress and rejected rows of a finished import."""
    await connection.execute(_SQL["forget_progress"], fingerprint)
    await connection.execute(_SQL["forget_rejected"], fingerprint)


async def try_lock_source(session: asyncpg.Connection, source: str) -> bool:
    """Takes the source's advisory lock for as long as the session lasts; False if another import has it."""
    locked: bool = await session.fetchval(_SQL["try_lock_source"], source)
    return locked
