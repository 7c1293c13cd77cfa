"""Bounds what the bad records of a partition may cost in a minute: one sender's flood is one sender's.

A record that is parked, becomes a dead letter or is refused stays in the tables, and in the public log for
good. Beyond the limit a unit's actions partition is paused: its cursor stays, and the sender's records wait
on its topic. It goes on by itself, later each time, or by an operator's command. A service's topic carries
the cases of everybody and is never paused; there the flood is only reported.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from shared import sql
from shared.clock import machine_now
from shared.contracts.addresses import code_of
from shared.errors import CivicloomError
from shared.kafka.records import Partition
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")

_WINDOW = dt.timedelta(minutes=1)
_LONGEST_PAUSE = dt.timedelta(hours=1)
_ALLOWED_FOR = dt.timedelta(hours=1)


class Flood(CivicloomError):
    """The partition has more bad records than it may have in this minute; `offset` is the first too many."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"too many records that cannot be applied, from offset {offset} on")
        self.offset = offset


class PartitionPaused(CivicloomError):
    """The partition is not read for some time; its cursor is at `next_offset`."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"paused at offset {next_offset}: too many records that cannot be applied")
        self.next_offset = next_offset


class PausedPartition(NamedTuple):
    """A partition that is not read before `paused_until`, machine time."""

    consumer: str
    topic: str
    partition: int
    paused_until: dt.datetime


class FloodLimit:
    """Counts the bad records of the partitions that one consumer reads, for all replicas together."""

    def __init__(self, database: Database, consumer: str) -> None:
        self._database = database
        self._consumer = consumer

    async def count(self, tx: Tx, partition: Partition, offsets: Sequence[int]) -> int:
        """Counts bad records, given by their sorted offsets; how many are beyond the limit.

        Raises Flood if there are any and the partition may be paused; the transaction must be rolled back.
        """
        if not offsets:
            return 0
        now = machine_now()
        total: int = await tx.connection.fetchval(
            QUERIES["count_bad_records"], self._consumer, *partition, now, len(offsets), now - _WINDOW
        )
        limit = self._database.settings.bad_records_per_minute
        beyond = min(max(total - limit, 0), len(offsets))
        if beyond and code_of(partition[0]) is not None:
            raise Flood(offsets[len(offsets) - beyond])
        return beyond

    async def pause(self, partition: Partition) -> None:
        """Pauses the partition: for a minute, and twice as long each time that it soon floods again."""
        key = (self._consumer, *partition)
        now = machine_now()
        async with self._database.transaction() as tx:
            await tx.connection.execute(QUERIES["start_flood"], *key, now)
            row = await tx.connection.fetchrow(QUERIES["lock_flood"], *key)
            assert row is not None  # noqa: S101  (it was inserted if there was none)
            before = row["paused_until"]
            if before is not None and before > now:
                return
            pauses = row["pauses"] + 1 if before is not None and now < before + 2 * _WINDOW else 1
            length = min(_WINDOW * 2 ** min(pauses - 1, 10), _LONGEST_PAUSE)
            await tx.connection.execute(QUERIES["pause_partition"], *key, now + length, pauses)


async def paused_partitions(pool: asyncpg.Pool) -> list[PausedPartition]:
    """All that are paused now, of all consumers of the service."""
    rows = await pool.fetch(QUERIES["paused_partitions"], machine_now())
    return [PausedPartition(*row) for row in rows]


async def resume(pool: asyncpg.Pool, topic: str, *, allow: int = 0) -> int:
    """Ends the pauses of a topic; their number.

    `allow` lets that many bad records more pass within the next hour, so that a topic can be emptied of them.
    """
    now = machine_now()
    began_at = now + _ALLOWED_FOR if allow else now
    return len(await pool.fetch(QUERIES["resume_partitions"], topic, now, began_at, -allow))
