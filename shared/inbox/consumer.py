"""Reads a service's topics: FastStream for subscription and lifecycle, our own decode, transaction and place.

Kafka's committed offset is for display; the cursor row is the authority and is sought to on assignment. A
barrier keeps a revoked partition's slice from running beside its new owner's; the cursor makes it harmless
where the barrier cannot reach (`reference/field-notes` 1: 98 stale batches discarded, none doubled).
"""

import asyncio
import re
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
)
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from shared import sql
from shared.errors import Stale
from shared.inbox.handlers import Handlers
from shared.inbox.partition_batch import AlreadyConsumed, OffsetGap, PartitionBatchProcessor
from shared.inbox.polls import Polls
from shared.infrastructure import is_passing
from shared.kafka.client import raw_record
from shared.kafka.records import RawRecord
from shared.logs import get_logger
from shared.metrics import BATCH_WAITS, LAG, LOG_TRUNCATED
from shared.unit_of_work.database import Database

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)

Partition = tuple[str, int]
"""Topic and partition."""

_MAX_RECORDS = 2000
# From batch to batch, unless they are full: under load a slice then carries many events, each of which costs
# half; after a pause an event is taken at once.
_PACE_SECONDS = 0.1
_FETCH_WAIT_MS = 50
_COMMIT_SECONDS = 5
_ENDS_SECONDS = 5
_METADATA_SECONDS = 5


class _LogTruncated(Exception):
    def __init__(self, begin: int) -> None:
        self.begin = begin


class Barrier(ConsumerRebalanceListener):  # type: ignore[misc]
    """Generations of ownership: what was fetched under an old one is discarded."""

    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer
        self.generation = 0
        self.lock = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ARG002
        # First, so that a slice that waits on the database gives up; then until it has ended.
        self.generation += 1
        async with self.lock:
            return

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._consumer.seek_to_cursors(assigned)


class Consumer:
    """One consumer: several topics or a pattern, one group, one set of handlers, cursors under `name`."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        name: str,
        topics: Sequence[str] = (),
        pattern: str | None = None,
    ) -> None:
        self._database = database
        self._slices = PartitionBatchProcessor(database, name, handlers)
        self.name = name
        self._topics = tuple(topics)
        self._pattern = pattern
        self._barrier = Barrier(self)
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._sought: dict[Any, int] = {}
        self._done: dict[Partition, int] = {}
        self._has_topics = True
        self._was_assigned = False
        self._polls = Polls()
        self.cut: set[str] = set()
        """Topics that have lost records which were read; until the process ends, for an operator to see."""

    async def run(self) -> None:
        """Until cancelled. Starting is retried: a missing topic or broker is a state, not a fault."""
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
                    log.warning("consumer starts again", consumer=self.name, error=repr(error))
                    await self._stop()
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, 10)
        finally:
            await self._stop()

    async def _start(self) -> None:
        settings = self._database.settings
        broker = KafkaBroker(
            settings.kafka_bootstrap,
            logger=None,
            apply_types=False,
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=_METADATA_SECONDS * 1000,
            graceful_timeout=10,
            client_id=f"civicloom-{settings.service}",
        )
        barrier = self._barrier

        async def parse(batch: Any) -> KafkaMessage:
            return KafkaMessage(body=barrier.generation, raw_message=batch, consumer=FAKE_CONSUMER)

        async def unpack(message: Any) -> tuple[int, Any]:
            return message.body, message.raw_message

        group = settings.consumer_group or f"{settings.topic_namespace}.{self.name}"
        options: dict[str, Any] = {
            "group_id": group,
            "batch": True,
            "max_records": _MAX_RECORDS,
            "batch_timeout_ms": _FETCH_WAIT_MS,
            "fetch_max_wait_ms": _FETCH_WAIT_MS,
            "ack_policy": AckPolicy.MANUAL,
            "parser": parse,
            "decoder": unpack,
            "listener": barrier,
            "auto_offset_reset": "earliest",
            # So long a crashed copy's partitions wait; who only seemed dead is harmless, by the cursor.
            "session_timeout_ms": 10_000,
            "rebalance_timeout_ms": 30_000,
        }
        if self._pattern:
            subscriber = broker.subscriber(pattern=self._pattern, **options)
        else:
            subscriber = broker.subscriber(*self._topics, **options)
        subscriber(self._handle)
        self._broker, self._subscriber = broker, subscriber
        self._was_assigned = False
        await broker.start()
        self._polls = Polls.of(subscriber.consumer)
        log.info("consumer started", consumer=self.name, topics=self._topics or self._pattern, group=group)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            self._polls.check()
            self._measure()
            await self._display()

    async def _stop(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            try:
                async with asyncio.timeout(15):
                    await broker.stop()
            except (KafkaError, TimeoutError) as error:
                log.warning("consumer stopped hard", consumer=self.name, error=repr(error))
        self._subscriber = None

    async def _handle(self, batch: Any) -> None:
        # Whatever escapes from here is swallowed by FastStream and the loop moves on past it: so nothing
        # escapes, and places are only ever set by the cursor.
        generation, raw = batch
        by_partition: dict[Any, list[RawRecord]] = {}
        for record in raw:
            by_partition.setdefault((record.topic, record.partition), []).append(raw_record(record))
        began = time.monotonic()
        async with self._barrier.lock:
            await asyncio.gather(*(self._slice(generation, records) for records in by_partition.values()))
        if len(raw) < _MAX_RECORDS:
            await asyncio.sleep(max(0.0, began + _PACE_SECONDS - time.monotonic()))

    async def _slice(self, generation: int, records: list[RawRecord]) -> None:
        first = records[0].offset
        place = SimpleNamespace(topic=records[0].topic, partition=records[0].partition)
        wait = 0.1
        gap_is_real = False
        while generation == self._barrier.generation:
            try:
                next_offset = await self._apply(records, accept_gap=gap_is_real)
            except OffsetGap as behind:
                if self._sought.get((place.topic, place.partition)) != behind.next_offset:
                    self._seek(place, behind.next_offset)
                    return
                # Sought to exactly there, and this is what the broker has: the rest is gone from the topic.
                if behind.next_offset:
                    log.critical(
                        "records are gone", consumer=self.name, topic=place.topic, offset=behind.next_offset
                    )
                else:
                    # Retention has taken what was there before this consumer began.
                    log.info("topic begins later", consumer=self.name, topic=place.topic, offset=first)
                gap_is_real = True
            except _LogTruncated as cut:
                self._seek(place, cut.begin)
                return
            except Stale:
                return
            except Exception as error:
                if not is_passing(error, KafkaError):
                    # Not an event's fault, or bisecting would have found it: ours. Loud, and never lost.
                    log.exception("slice fails", consumer=self.name, topic=place.topic)
                BATCH_WAITS.labels(self.name).inc()
                log.warning("slice waits", consumer=self.name, topic=place.topic, error=repr(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5)
            else:
                self._sought.pop((place.topic, place.partition), None)
                self._done[(place.topic, place.partition)] = next_offset
                return

    async def _apply(self, records: list[RawRecord], *, accept_gap: bool) -> int:
        """Applies them; the next offset. Raises _LogTruncated if the log ends before the cursor.

        That is a broker that has lost its end, or a topic made anew: what is written now gets the offsets of
        what was read once, and would be taken for it.
        """
        try:
            return await self._slices.process(records, accept_gap=accept_gap, accept_old=False)
        except AlreadyConsumed as ahead:
            cursor = ahead.next_offset
        place = TopicPartition(records[0].topic, records[0].partition)
        client = self._client()
        if client is None:
            raise Stale("the consumer has ended")
        async with asyncio.timeout(_ENDS_SECONDS):
            ends, begins = await client.end_offsets([place]), await client.beginning_offsets([place])
        if ends[place] >= cursor:
            return await self._slices.process(records, accept_gap=accept_gap)
        await self._slices.begin_again(place.topic, place.partition, cursor=cursor, begin=begins[place])
        LOG_TRUNCATED.labels(self.name, place.topic).inc()
        self.cut.add(place.topic)
        log.critical(
            "the topic ends before the cursor: it is read again from its beginning",
            consumer=self.name,
            topic=place.topic,
            partition=place.partition,
            offset=cursor,
            end=ends[place],
        )
        raise _LogTruncated(begins[place])

    async def seek_to_cursors(self, assigned: Any) -> None:
        """The cursor, not Kafka's committed offset, says where to go on."""
        wait = 0.2
        while True:
            try:
                rows = await self._database.pool.fetch(QUERIES["read_cursors"], self.name)
                break
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("cursors wait", consumer=self.name, error=repr(error))
                await asyncio.sleep(wait)
                wait = min(wait * 2, 5)
        offsets = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        client = self._client()
        for place in assigned:
            offset = offsets.get((place.topic, place.partition))
            if client is None:
                return
            if offset is None:
                await client.seek_to_beginning(place)
            else:
                client.seek(place, offset)
        self._was_assigned = True

    def _seek(self, place: Any, offset: int) -> None:
        client = self._client()
        if client is None:
            return
        for assigned in client.assignment():
            if (assigned.topic, assigned.partition) == (place.topic, place.partition):
                self._sought[(place.topic, place.partition)] = offset
                log.warning("consumer seeks", consumer=self.name, topic=place.topic, offset=offset)
                client.seek(assigned, offset)

    async def _display(self) -> None:
        """Tells Kafka how far we are: once a second, since a commit costs the broker as much as a batch."""
        client = self._client()
        done, self._done = self._done, {}
        if client is None:
            return
        assigned = {(place.topic, place.partition): place for place in client.assignment()}
        offsets = {assigned[place]: offset for place, offset in done.items() if place in assigned}
        if not offsets:
            return
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await client.commit(offsets)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            log.info("offset not shown", consumer=self.name, error=repr(error))

    def _client(self) -> Any:
        return self._subscriber.consumer if self._subscriber is not None else None

    def _measure(self) -> None:
        client = self._client()
        if client is None:
            return
        for place in client.assignment():
            lag = self._lag_of(client, place)
            if lag is not None:
                LAG.labels(self.name, place.topic, place.partition).set(lag)

    async def ends(self) -> dict[Partition, int]:
        """The next offset that each partition of what this consumer reads will give, whoever owns it.

        Partitions that hold nothing, or nothing any more, are left out. Raises KafkaError, OSError or
        TimeoutError while the broker does not tell.
        """
        client = self._client()
        if client is None:
            raise NodeNotReadyError("the consumer is not started")
        topics = client.subscription() or await self._matching(client)
        self._has_topics = bool(topics)
        found = {topic: client.partitions_for_topic(topic) for topic in topics}
        unknown = [topic for topic, partitions in found.items() if not partitions]
        if unknown:
            raise UnknownTopicOrPartitionError(f"no partitions are known of {', '.join(sorted(unknown))}")
        places = [TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers]
        if not places:
            return {}
        async with asyncio.timeout(_ENDS_SECONDS):
            starts, ends = await asyncio.gather(client.beginning_offsets(places), client.end_offsets(places))
        return {
            (place.topic, place.partition): ends[place] for place in places if starts[place] < ends[place]
        }

    async def _matching(self, client: Any) -> list[str]:
        """Topics that match the pattern now: asked anew, for a broker that is away also shows none."""
        async with asyncio.timeout(_ENDS_SECONDS):
            return [
                topic for topic in await client.topics() if self._pattern and re.match(self._pattern, topic)
            ]

    def lag(self) -> int | None:
        """Records fetched or waiting but not yet applied; None while nothing is known.

        A copy too many, which has got no partition, has nothing to do and lags by nothing.
        """
        client = self._client()
        if client is None or not self._was_assigned:
            return None if self._has_topics else 0
        lags = [self._lag_of(client, place) for place in client.assignment()]
        return None if None in lags else sum(lag for lag in lags if lag is not None)

    @staticmethod
    def _lag_of(client: Any, place: Any) -> int | None:
        high = client.highwater(place)
        state = client._subscription.subscription.assignment.state_value(place)
        if high is None or state is None or not state.has_valid_position:
            return None
        return max(0, int(high) - int(state.position))
