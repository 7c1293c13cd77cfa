"""How much waits in the tables of one service, for an operator who asks once: it counts whole tables."""

from typing import NamedTuple

import asyncpg

from shared import sql

QUERIES = sql.load("shared.unit_of_work")


class Waiting(NamedTuple):
    """Events to send, those of paused topics apart; keys behind a failed event; open dead letters."""

    outbox: int
    paused: int
    parked_keys: int
    dead_letters: int


async def count_waiting(reader: asyncpg.Connection | asyncpg.Pool) -> Waiting:
    """Counts all of it."""
    row = await reader.fetchrow(QUERIES["count_waiting"])
    assert row is not None  # noqa: S101  (it selects no table)
    return Waiting(*row)
