"""Reads a service's topics and applies each partition batch in one transaction.

The cursor row decides where to read on; Kafka's committed offset is only for display. Each partition has a
worker of its own, which is closed before its partition is given to another replica. Where that barrier cannot
reach, the cursor makes a stale batch harmless: of 98 in a drill all were discarded, none was applied twice.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
)

from shared.inbox.barrier import Barrier
from shared.inbox.cursors import wait_for_cursors
from shared.inbox.dead_client import DeadClientDetector
from shared.inbox.faststream_adapter import Subscription
from shared.inbox.handlers import Handlers
from shared.inbox.log_check import LogCheck
from shared.inbox.offsets import end_offsets, subscribed_topics
from shared.inbox.open_transactions import OpenTransactions
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.inbox.partition_worker import MAX_RECORDS, FetchedRun, PartitionWorker
from shared.inbox.paused_partitions import PausedPartitions
from shared.infrastructure import is_passing
from shared.kafka.aiokafka_internals import position_of, watch_fetches
from shared.kafka.client import raw_record
from shared.kafka.records import Partition
from shared.kafka.refusal import missing_right
from shared.logs import get_logger
from shared.metrics import LAG
from shared.unit_of_work.database import Database

log = get_logger(__name__)

# After a poll that is not full the consumer rests as long as its records took, up to this: a batch costs
# much the same with one event or a hundred. After a silence an event is applied at once.
_LONGEST_PAUSE_SECONDS = 0.1
_POLL_MS = 50
_COMMIT_SECONDS = 5
# No partition: polled while none may be, so that the group sees that this replica is alive.
_NOTHING = TopicPartition("", 0)


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
    patience
        Seconds that an event may wait for others, with which it is then fetched and applied together.
    """

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        name: str,
        topics: Sequence[str] = (),
        pattern: str | None = None,
        patience: float = 0.0,
    ) -> None:
        self.name = name
        self.open_transactions = OpenTransactions(name)
        self.paused = PausedPartitions(database, name)
        self._database = database
        self._batches = PartitionBatchProcessor(database, name, handlers)
        self._log_check = LogCheck(database, name, self._batches, self._subscribed)
        self._topics = tuple(topics)
        self._pattern = pattern
        self._patience = patience
        self._barrier = Barrier(self._assigned, self._revoked)
        self._subscription: Subscription | None = None
        self._client: Any = None  # the subscription's, once it has started
        self._watched: Any = None  # the client whose fetches are watched
        self._detector = DeadClientDetector()
        self._workers: dict[Partition, PartitionWorker] = {}
        self._committed: dict[Partition, int] = {}
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
                    await self._start()
                    wait = 1.0
                    await self._watch()
                except Exception as error:
                    if not is_passing(error, KafkaError, asyncpg.PostgresError):
                        raise
                    reason = missing_right(error, self._database.settings.kafka, "read") or repr(error)
                    log.warning("consumer restarts", consumer=self.name, error=reason)
                    await self._stop()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 10)
        finally:
            await self._stop()

    async def _start(self) -> None:
        settings = self._database.settings
        group = settings.consumer_group or f"{settings.topic_namespace}.{self.name}"
        self._detector = DeadClientDetector()
        self._subscription = Subscription(
            settings,
            self._poll,
            self._handle,
            self._barrier,
            group=group,
            topics=self._topics,
            pattern=self._pattern,
            patience=self._patience,
        )
        self._was_assigned = False
        await self._subscription.start()
        self._client = self._subscription.client
        log.info("consumer started", consumer=self.name, topics=self._topics or self._pattern, group=group)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._detector.check(self._client)
            self._measure()
            await self._commit_for_display()
            await self.paused.refresh()

    async def _stop(self) -> None:
        self._client = None
        await self._revoked()
        if self._subscription is not None:
            try:
                await self._subscription.stop()
            except (KafkaError, TimeoutError) as error:
                log.warning("consumer stopped hard", consumer=self.name, error=repr(error))
        self._subscription = None
        await self._revoked()  # what was assigned while it stopped
        await self._log_check.stop()

    async def _assigned(self, assigned: Any) -> None:
        """Starts a worker for each partition, at its cursor. The worker then finds out which log it is."""
        cursors = await wait_for_cursors(self._database, self.name)
        if self._subscription is None:
            return
        if self._watched is not self._subscription.client:
            self._watched = self._subscription.client
            watch_fetches(self._watched, self._doubt)
        for partition in assigned:
            # At once, before the client asks the group for an offset. What is not in the log is not read.
            self._seek(partition, cursors.get(partition, 0))
            self._workers[partition] = PartitionWorker(
                self.name,
                partition,
                self._batches,
                where_to_read=self._log_check.where_to_read,
                seek=self._seek,
                hold=self.paused.hold,
            )
        self._was_assigned = True

    async def _revoked(self) -> None:
        workers, self._workers, self._committed = self._workers, {}, {}
        await asyncio.gather(*(worker.close() for worker in workers.values()))

    def _doubt(self, partitions: set[Partition]) -> None:
        for partition in partitions:
            if worker := self._workers.get(partition):
                worker.doubt()

    def _seek(self, partition: Partition, offset: int) -> None:
        client = self._subscription.client if self._subscription is not None else None
        if client is not None and partition in client.assignment():
            client.seek(TopicPartition(*partition), offset)

    async def _poll(self, client: Any) -> Sequence[FetchedRun]:
        """Polls the partitions that have room. Nothing is awaited between the fetch and its bookkeeping."""
        workers = dict(self._workers)
        open_ = [
            TopicPartition(*one)
            for one, worker in workers.items()
            if worker.has_room and one not in self.paused
        ]
        try:
            found = await client.getmany(*(open_ or [_NOTHING]), timeout_ms=_POLL_MS, max_records=MAX_RECORDS)
        except OffsetOutOfRangeError as error:
            self._doubt(set(error.args[0]))
            found = {}
        except KafkaError:
            self._detector.polled(succeeded=False)
            raise
        except ConsumerStoppedError:
            raise
        except Exception as error:
            # FastStream's loop would end of it in silence, and nothing would be read any more.
            self._detector.polled(succeeded=False)
            log.exception("poll fails", consumer=self.name)
            raise KafkaError(f"the poll fails: {error!r}") from error
        self._detector.polled(succeeded=True)
        return list(self._runs(client, found, workers, open_))

    def _runs(
        self,
        client: Any,
        found: dict[Any, list[Any]],
        workers: dict[Partition, PartitionWorker],
        polled: list[Any],
    ) -> Iterator[FetchedRun]:
        for partition in polled:
            worker, position = workers[partition], position_of(client, partition)
            if self._workers.get(partition) is not worker or position is None:
                continue
            run = worker.fetched([raw_record(record) for record in found.get(partition, ())], position)
            if run is not None:
                yield run

    async def _handle(self, runs: Sequence[FetchedRun]) -> None:
        # FastStream swallows an error raised here and reads on behind it. So nothing is raised, and only the
        # cursor decides where to read on.
        started = time.monotonic()
        given = []
        for run in runs:
            if worker := self._workers.get(run.partition):
                worker.put(run)
                given.append(worker)
        # A patient subscription is paced by the broker.
        if not self._patience and sum(len(run.records) for run in runs) < MAX_RECORDS:
            await _at_rest(given)
            await asyncio.sleep(min(time.monotonic() - started, _LONGEST_PAUSE_SECONDS))

    async def _commit_for_display(self) -> None:
        """Commits the applied offsets to Kafka: once a second, since a commit costs as much as a batch."""
        offsets = {
            one: worker.next_offset
            for one, worker in self._workers.items()
            if worker.next_offset is not None and worker.next_offset != self._committed.get(one)
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await self._client.commit({TopicPartition(*one): at for one, at in offsets.items()})
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            log.info("offsets not committed", consumer=self.name, error=repr(error))
        else:
            self._committed |= offsets

    def _measure(self) -> None:
        for partition, worker in self._workers.items():
            if (lag := self._lag_of(worker)) is not None:
                LAG.labels(self.name, *partition).set(lag)
        self.open_transactions.measure(self._client, self._workers)

    def _lag_of(self, worker: PartitionWorker) -> int | None:
        """Records of an assigned partition that are not applied yet; None while this is not known."""
        client, partition = self._client, TopicPartition(*worker.partition)
        if client is None or worker.next_offset is None or partition not in client.assignment():
            return None
        high = client.highwater(partition)
        return None if high is None else max(0, int(high) - worker.next_offset)

    def _subscribed(self) -> list[Partition]:
        """Every partition of the subscribed topics that the client knows, whichever replica owns it."""
        client = self._subscription.client if self._subscription is not None else None
        if client is None:
            return []
        return [
            (topic, number)
            for topic in client.subscription()
            for number in client.partitions_for_topic(topic) or ()
        ]

    async def ends(self) -> dict[Partition, int]:
        """The end offset of each partition that this consumer's group reads, whichever replica owns it.

        Records of a transaction that is still open, and what stands behind them, are behind that end.

        Returns
        -------
        dict
            (topic, partition) -> offset after the last record. Partitions without records are absent.

        Raises
        ------
        KafkaError, OSError, TimeoutError
            If the consumer is not started, or the broker does not answer.
        """
        client = self._client
        if client is None:
            raise NodeNotReadyError("the consumer is not started")
        topics = await subscribed_topics(client, self._pattern)
        self._has_topics = bool(topics)
        return await end_offsets(client, topics)

    def lag(self) -> int | None:
        """Records of the assigned partitions that are not applied yet; None while this is unknown.

        A surplus replica without partitions has no lag.
        """
        if self._client is None or not self._was_assigned:
            return None if self._has_topics else 0
        lags = [self._lag_of(worker) for worker in self._workers.values()]
        return None if None in lags else sum(lag for lag in lags if lag is not None)


async def _at_rest(workers: Sequence[PartitionWorker]) -> None:
    """Waits until they have applied what they were given, but for no partition that is held up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST_PAUSE_SECONDS):
            for worker in workers:
                await worker.at_rest.wait()
