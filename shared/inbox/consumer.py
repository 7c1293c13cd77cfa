"""Reads a service's topics and applies each partition batch in one transaction.

The cursor row decides where to read on; Kafka's committed offset is only for display. A barrier keeps a
revoked partition's batch from running beside its new owner's. Where the barrier cannot reach, the cursor
makes such a batch harmless: of 98 stale batches in a drill all were discarded, none was applied twice.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NodeNotReadyError

from shared.errors import Stale
from shared.inbox.barrier import Barrier
from shared.inbox.cursors import wait_for_cursors
from shared.inbox.dead_client import DeadClientDetector
from shared.inbox.faststream_adapter import MAX_RECORDS, Fetched, Subscription
from shared.inbox.floods import PartitionPaused
from shared.inbox.handlers import Handlers
from shared.inbox.offsets import bounds, end_offsets, lag_of, subscribed_topics
from shared.inbox.partition_batch import AlreadyConsumed, OffsetGap, PartitionBatchProcessor
from shared.inbox.paused_partitions import PausedPartitions
from shared.infrastructure import is_passing
from shared.kafka.client import raw_record
from shared.kafka.records import Partition, RawRecord
from shared.logs import get_logger
from shared.metrics import BATCH_WAITS, LAG, LOG_TRUNCATED
from shared.unit_of_work.database import Database

log = get_logger(__name__)

# Pause between fetches that are not full: under load a batch then carries many events, at half the cost each;
# the first event after a pause is applied at once.
_PACE_SECONDS = 0.1
_COMMIT_SECONDS = 5


class LogTruncated(Exception):
    """The topic ended before the cursor; it is read again from `begin`."""

    def __init__(self, begin: int) -> None:
        self.begin = begin


class Consumer:
    """Reads several topics, or a pattern of topics, in one consumer group with one set of handlers.

    Parameters
    ----------
    database
        The reading service's database: it holds the cursors, and the handlers' transactions run on it.
    handlers
        Handlers by event type. Types without a handler are skipped.
    name
        Name of the consumer in cursors, parked keys, dead letters and metrics. Renaming it reads every topic
        again from its beginning. The Kafka group is `<namespace>.<name>`, unless `consumer_group` is set.
    topics
        Full topic names.
    pattern
        Regular expression over topic names, instead of `topics`; topics created later are found.
    """

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        name: str,
        topics: Sequence[str] = (),
        pattern: str | None = None,
    ) -> None:
        self.name = name
        self.truncated_topics: set[str] = set()
        """Topics that have lost records which were read; kept until the process ends, for an operator."""
        self.paused = PausedPartitions(database, name)
        self._database = database
        self._batches = PartitionBatchProcessor(database, name, handlers)
        self._topics = tuple(topics)
        self._pattern = pattern
        self._barrier = Barrier(self.seek_to_cursors)
        self._subscription: Subscription | None = None
        self._sought: dict[Partition, int] = {}
        self._applied: dict[Partition, int] = {}
        self._has_topics = True
        self._was_assigned = False

    async def run(self) -> None:
        """Reads until cancelled; a missing topic, broker or database is waited out.

        Raises
        ------
        Exception
            An error that is neither infrastructure's nor Kafka's nor PostgreSQL's.
        """
        wait = 1.0
        try:
            while True:
                try:
                    detector = await self._start()
                    wait = 1.0
                    await self._watch(detector)
                except Exception as error:
                    if not is_passing(error, KafkaError, asyncpg.PostgresError):
                        raise
                    log.warning("consumer restarts", consumer=self.name, error=repr(error))
                    await self._stop()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 10)
        finally:
            await self._stop()

    async def _start(self) -> DeadClientDetector:
        settings = self._database.settings
        group = settings.consumer_group or f"{settings.topic_namespace}.{self.name}"
        self._subscription = Subscription(
            settings, self._handle, self._barrier, group=group, topics=self._topics, pattern=self._pattern
        )
        self._was_assigned = False
        await self._subscription.start()
        log.info("consumer started", consumer=self.name, topics=self._topics or self._pattern, group=group)
        return DeadClientDetector(self._subscription.client)

    async def _watch(self, detector: DeadClientDetector) -> None:
        while True:
            await asyncio.sleep(1)
            detector.check()
            self._measure()
            await self._commit_for_display()
            await self.paused.refresh(self._client())

    async def _stop(self) -> None:
        if self._subscription is not None:
            try:
                await self._subscription.stop()
            except (KafkaError, TimeoutError) as error:
                log.warning("consumer stopped hard", consumer=self.name, error=repr(error))
        self._subscription = None

    def _client(self) -> Any:
        return self._subscription.client if self._subscription is not None else None

    async def seek_to_cursors(self, assigned: Any) -> None:
        """Seeks each assigned partition to its cursor, or to its beginning if it has none."""
        offsets = await wait_for_cursors(self._database, self.name)
        client = self._client()
        if client is None:
            return
        for partition in assigned:
            if (offset := offsets.get(partition)) is None:
                await client.seek_to_beginning(partition)
            else:
                client.seek(partition, offset)
        self._was_assigned = True

    def _seek(self, partition: Partition, offset: int) -> None:
        client = self._client()
        if client is not None and partition in client.assignment():
            self._sought[partition] = offset
            log.warning("consumer seeks", consumer=self.name, topic=partition[0], offset=offset)
            client.seek(TopicPartition(*partition), offset)

    async def _handle(self, fetched: Fetched) -> None:
        # FastStream swallows an error raised here and reads on behind it. So nothing is raised, and only the
        # cursor decides where to read on.
        generation, records = fetched
        by_partition: dict[Partition, list[RawRecord]] = {}
        for record in records:
            by_partition.setdefault((record.topic, record.partition), []).append(raw_record(record))
        started = time.monotonic()
        async with self._barrier.lock:
            await asyncio.gather(
                *(self._process(generation, partition, own) for partition, own in by_partition.items())
            )
        if len(records) < MAX_RECORDS:
            await asyncio.sleep(max(0.0, started + _PACE_SECONDS - time.monotonic()))

    async def _process(self, generation: int, partition: Partition, records: list[RawRecord]) -> None:
        """Applies one partition batch, waiting out faults, unless it is revoked or has to be read again."""
        wait = 0.1
        accept_gap = False
        while generation == self._barrier.generation:
            try:
                next_offset = await self._apply(partition, records, accept_gap=accept_gap)
            except OffsetGap as gap:
                if self._sought.get(partition) != gap.next_offset:
                    self._seek(partition, gap.next_offset)
                    return
                # The broker was asked for exactly that offset and answered with a later one.
                self._report_gone(partition, gap.next_offset, records[0].offset)
                accept_gap = True
            except PartitionPaused as paused:
                self._seek(partition, paused.next_offset)
                self.paused.hold(self._client(), partition)
                return
            except LogTruncated as truncated:
                self._seek(partition, truncated.begin)
                return
            except Stale:
                return
            except Exception as error:
                if not is_passing(error, KafkaError):
                    # Not the fault of one event, which bisecting would have found: a bug. The batch waits.
                    log.exception("partition batch fails", consumer=self.name, topic=partition[0])
                BATCH_WAITS.labels(self.name).inc()
                log.warning(
                    "partition batch waits", consumer=self.name, topic=partition[0], error=repr(error)
                )
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5)
            else:
                self._sought.pop(partition, None)
                self._applied[partition] = next_offset
                return

    def _report_gone(self, partition: Partition, cursor: int, first: int) -> None:
        if cursor:
            log.critical("records are gone", consumer=self.name, topic=partition[0], offset=cursor)
        else:
            # Retention had deleted the topic's beginning before this consumer started.
            log.info("topic begins later", consumer=self.name, topic=partition[0], offset=first)

    async def _apply(self, partition: Partition, records: list[RawRecord], *, accept_gap: bool) -> int:
        """Applies the records; the next offset. Raises LogTruncated if the log ends before the cursor.

        Then the broker has lost the log's end, or the topic was created again: new records get the offsets
        of records that were read, and would be taken for them.
        """
        try:
            return await self._batches.process(records, accept_gap=accept_gap, accept_old=False)
        except AlreadyConsumed as consumed:
            cursor = consumed.next_offset
        client = self._client()
        if client is None:
            raise Stale("the consumer has stopped")
        begin, end = await bounds(client, partition)
        if end >= cursor:
            return await self._batches.process(records, accept_gap=accept_gap)
        topic, number = partition
        await self._batches.reset_cursor(topic, number, cursor=cursor, begin=begin)
        LOG_TRUNCATED.labels(self.name, topic).inc()
        self.truncated_topics.add(topic)
        log.critical(
            "the topic ends before the cursor: it is read again from its beginning",
            consumer=self.name,
            topic=topic,
            partition=number,
            offset=cursor,
            end=end,
        )
        raise LogTruncated(begin)

    async def _commit_for_display(self) -> None:
        """Commits the applied offsets to Kafka: once a second, since a commit costs as much as a batch."""
        client = self._client()
        applied, self._applied = self._applied, {}
        if client is None:
            return
        assigned = client.assignment()
        offsets = {TopicPartition(*one): offset for one, offset in applied.items() if one in assigned}
        if not offsets:
            return
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await client.commit(offsets)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            log.info("offsets not committed", consumer=self.name, error=repr(error))

    def _measure(self) -> None:
        client = self._client()
        if client is None:
            return
        for partition in client.assignment():
            if (lag := lag_of(client, partition)) is not None:
                LAG.labels(self.name, partition.topic, partition.partition).set(lag)

    async def ends(self) -> dict[Partition, int]:
        """The end offset of each partition that this consumer's group reads, whichever replica owns it.

        Returns
        -------
        dict
            (topic, partition) -> offset after the last record. Partitions without records are absent.

        Raises
        ------
        KafkaError, OSError, TimeoutError
            If the consumer is not started, or the broker does not answer.
        """
        client = self._client()
        if client is None:
            raise NodeNotReadyError("the consumer is not started")
        topics = await subscribed_topics(client, self._pattern)
        self._has_topics = bool(topics)
        return await end_offsets(client, topics)

    def lag(self) -> int | None:
        """Records of the assigned partitions that are not fetched yet; None while this is unknown.

        A surplus replica without partitions has no lag.
        """
        client = self._client()
        if client is None or not self._was_assigned:
            return None if self._has_topics else 0
        lags = [lag_of(client, partition) for partition in client.assignment()]
        return None if None in lags else sum(lag for lag in lags if lag is not None)
