"""Compares the log of a partition with the cursor, and decides where to read on."""

import asyncio
from collections.abc import Callable, Iterable

from shared import sql
from shared.errors import Stale
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.inbox.topic_losses import EXPIRED, record_loss
from shared.kafka.fingerprint import Fingerprint, Identity, LogState, compare
from shared.kafka.log_state import LogStates
from shared.kafka.records import Partition
from shared.logs import get_logger
from shared.metrics import LOG_TRUNCATED, RECORDS_EXPIRED
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)


class LogCheck:
    """Checks the partitions of one consumer.

    Parameters
    ----------
    subscribed
        Returns every partition that the consumer's group reads, whichever replica owns it.
    """

    def __init__(
        self,
        database: Database,
        consumer: str,
        batches: PartitionBatchProcessor,
        subscribed: Callable[[], Iterable[Partition]],
    ) -> None:
        settings = database.settings
        self._database = database
        self._consumer = consumer
        self._batches = batches
        self._subscribed = subscribed
        self._states = LogStates(settings.kafka, f"civicloom-{settings.service}-log-check")

    async def stop(self) -> None:
        """Ends what runs; to be called when no worker asks any more."""
        await self._states.stop()

    async def where_to_read(self, partition: Partition) -> int:
        """The offset to read on from.

        That is the cursor, unless the log is another one or its records from the cursor on are deleted: then
        it is the log's beginning, and the loss is recorded.

        Raises Stale if another replica has moved the cursor meanwhile, and the errors of database and broker.
        """
        row = await self._database.pool.fetchrow(QUERIES["read_cursor"], self._consumer, *partition)
        if row is None:
            return await self._start(partition)
        # The cursor is read first: then a log that ends before it has been cut, and is not merely behind.
        cursor, last = row["next_offset"], None
        if row["last_offset"] is not None:
            last = Fingerprint(row["last_offset"], row["last_appended_ms"], row["last_digest"])
        now = await self._states.read(partition, last.offset if last else None)
        if compare(last, cursor, now) is Identity.OTHER:
            await self._read_again(partition, cursor, now)
        elif cursor < now.begin:
            await self._skip(partition, cursor, now.begin)
        else:
            return int(cursor)
        return now.begin

    async def _start(self, partition: Partition) -> int:
        """Makes the cursor of a partition without one, at the log's beginning.

        A consumer without any cursor is new: all its partitions get one together, and what was deleted before
        is not lost to it. Later a partition without a cursor is new, so what was deleted of it is lost.
        """
        existed = await self._database.pool.fetchval(QUERIES["has_cursors"], self._consumer)
        partitions = [partition] if existed else sorted({partition, *self._subscribed()})
        begins = [one.begin for one in await asyncio.gather(*(self._state(one) for one in partitions))]
        topics, numbers = zip(*partitions, strict=True)
        begin = begins[partitions.index(partition)]
        async with self._database.transaction() as tx:
            await tx.connection.execute(QUERIES["start_cursors"], self._consumer, topics, numbers, begins)
            if existed and begin:
                await record_loss(tx, (self._consumer, *partition), EXPIRED, 0, begin)
        if existed and begin:
            self._report_expired(partition, 0, begin)
        elif begin:
            log.info("topic begins later", consumer=self._consumer, topic=partition[0], offset=begin)
        return begin

    async def _state(self, partition: Partition) -> LogState:
        return await self._states.read(partition, None)

    async def _skip(self, partition: Partition, cursor: int, begin: int) -> None:
        owner = (self._consumer, *partition)
        async with self._database.transaction() as tx:
            if await tx.connection.fetchval(QUERIES["lock_cursor"], *owner) != cursor:
                raise Stale("another replica has moved the cursor")
            await tx.connection.execute(QUERIES["pass_offsets"], *owner, begin)
            await record_loss(tx, owner, EXPIRED, cursor, begin)
        self._report_expired(partition, cursor, begin)

    def _report_expired(self, partition: Partition, cursor: int, begin: int) -> None:
        topic, number = partition
        RECORDS_EXPIRED.labels(self._consumer, topic).inc(begin - cursor)
        log.critical(
            "records are gone: they were deleted before they were read",
            consumer=self._consumer,
            topic=topic,
            partition=number,
            offset=cursor,
            begin=begin,
        )

    async def _read_again(self, partition: Partition, cursor: int, now: LogState) -> None:
        topic, number = partition
        await self._batches.reset_cursor(topic, number, cursor=cursor, begin=now.begin, end=now.end)
        LOG_TRUNCATED.labels(self._consumer, topic).inc()
        log.critical(
            "the topic is another one than was read: it is read again from its beginning",
            consumer=self._consumer,
            topic=topic,
            partition=number,
            offset=cursor,
            end=now.end,
        )
