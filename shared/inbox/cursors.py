"""Reads the cursors of a consumer: the next offset of each partition, shared by all replicas."""

import asyncio

from shared import sql
from shared.infrastructure import is_passing
from shared.kafka.records import Partition
from shared.logs import get_logger
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)


async def read_cursors(database: Database, consumer: str) -> dict[Partition, int]:
    """The next offset of each partition that the consumer has applied records of."""
    rows = await database.pool.fetch(QUERIES["read_cursors"], consumer)
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def wait_for_cursors(database: Database, consumer: str) -> dict[Partition, int]:
    """`read_cursors`, retried while the database is away."""
    wait = 0.2
    while True:
        try:
            return await read_cursors(database, consumer)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("cursors wait", consumer=consumer, error=repr(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)
