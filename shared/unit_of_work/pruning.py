"""Deletes what has expired in steps, so that no statement is long and no lock is held long."""

import datetime as dt

import asyncpg

from shared import sql

QUERIES = sql.load("shared.unit_of_work")
_STEP_ROWS = 1000


async def prune(
    connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy | asyncpg.Pool,
    query: str,
    before: dt.datetime,
) -> None:
    """Repeats a query that deletes the oldest rows until none is left.

    Parameters
    ----------
    connection
        Where it runs; each step is a statement of its own.
    query
        Name of a statement with two parameters: a moment, and the most rows to delete.
    before
        What is older goes.

    Raises
    ------
    asyncpg.PostgresError, OSError
        If the database is away; what was deleted stays deleted.
    """
    while await connection.execute(QUERIES[query], before, _STEP_ROWS) == f"DELETE {_STEP_ROWS}":
        pass
