"""The typed adapter over aiokafka: an idempotent batch producer, and a reader of whole topics."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    StaleMetadata,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from shared.kafka.aiokafka_internals import (
    close_unanswered_metadata,
    connect_no_closed_client,
    fresh_partitions,
    kill_producer,
    stop_client,
    stop_consumer,
    use_record_parser,
)
from shared.kafka.records import Partition, RawRecord
from shared.kafka.refusal import missing_right
from shared.kafka.tolerant_records import TolerantRecords
from shared.kafka_access import KafkaAccess

__all__ = [
    "KafkaError",
    "Producer",
    "PublishResult",
    "Reader",
    "RecordMetadata",
    "TopicMissing",
    "existing_topics",
    "fetch_options",
    "read_until",
]

use_record_parser(TolerantRecords)
close_unanswered_metadata()
connect_no_closed_client()

_REQUEST_SECONDS = 10
_STOP_SECONDS = 5
_BATCH_BYTES = 512 * 1024
_PUBLISH_SECONDS = 20
# How long the broker holds a fetch that finds nothing. A partition that was not part of it waits as long.
_FETCH_WAIT_MS = 100
_PATIENT_BYTES = 1024 * 1024
# Errors for which the topic alone is at fault. For a topic without a leader or with too few replicas the
# client reports nothing and retries forever; only the result of the other topics shows whose fault it is.
_REFUSALS = (InvalidTopicError, MessageSizeTooLargeError, TopicAuthorizationFailedError)
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=utf-8")


class RecordMetadata(NamedTuple):
    """Where the broker put a record."""

    partition: int
    offset: int


@dataclass(slots=True)
class PublishResult:
    """`sent`: index of each acknowledged row, with its partition and offset. `failed`: topic -> error name.

    `refused`: the failed topics that are at fault themselves, because the broker says so or because it
    acknowledged another topic of the same publish batch.
    """

    sent: list[tuple[int, RecordMetadata]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


class Producer:
    """An idempotent producer with `acks=all`. After any failed batch it must be renewed."""

    def __init__(self, access: KafkaAccess, client_id: str) -> None:
        self.access = access
        self._client_id = client_id
        self._producer: Any = None
        # Of two that start at a time one would be forgotten, with its connection and its tasks.
        self._changing = asyncio.Lock()

    def another(self, suffix: str) -> "Producer":
        """A second producer on the same broker, whose failures and renewals leave this one alone."""
        return Producer(self.access, f"{self._client_id}-{suffix}")

    async def start(self) -> None:
        """Connects, unless it is connected. Raises KafkaError if no broker answers."""
        await self._started()

    async def stop(self) -> None:
        async with self._changing:
            await self._stop()

    async def renew(self) -> None:
        """Restarts with a new producer id. Batches in doubt are sent again; readers drop duplicates."""
        async with self._changing:
            await self._stop()
            await self._start()

    async def partitions(self, least: Mapping[str, int]) -> dict[str, int]:
        """How many partitions each topic has on the broker; topics that it does not have are absent.

        `least` maps the topics to the number that the caller needs: while the client knows of as many, the
        answer comes from its cache. Answers without the client's wait of ten seconds for a missing topic.
        Raises KafkaError if no broker answers.
        """
        producer = await self._started()
        known = {topic: _known(producer, topic) for topic in least}
        if all(known[topic] >= number for topic, number in least.items()):
            return known
        for topic in least:
            producer.client.add_topic(topic)
        metadata = await producer.client.fetch_all_metadata()
        found = {topic: len(metadata.partitions_for_topic(topic) or ()) for topic in least}
        if any(number > known[topic] for topic, number in found.items()):
            # What was just fetched is apart from what the client sends by.
            await producer.client.force_metadata_update()
        return {topic: number for topic, number in found.items() if number}

    async def publish(
        self,
        rows: Sequence[tuple[str, bytes, bytes, bytes | None]],
        seconds: float | None = None,
        *,
        widths: Mapping[str, int] | None = None,
    ) -> PublishResult:
        """Sends (topic, key, value, words) rows as one record batch per partition, in row order.

        Rows that do not fit into their partition's batch are absent from the result: the caller sends them
        with the next publish batch. A batch not acknowledged within `seconds` (default 20) has failed.
        `widths` says by topic how many partitions the keys are hashed over; without it they are all that the
        broker has, as for any Kafka client. A topic with fewer partitions than that is refused.
        Raises KafkaError if no broker answers or the partitions of a topic are not known.
        """
        producer = await self._started()
        batches: dict[Partition, tuple[Any, list[int]]] = {}
        full: set[Partition] = set()
        result = PublishResult()
        there = {topic: len(await producer.partitions_for(topic)) for topic in {row[0] for row in rows}}
        widths = there if widths is None else widths
        for topic, number in there.items():
            if number < widths[topic]:
                result.failed[topic] = "TooFewPartitions"
                result.refused.add(topic)
        for index, (topic, key, value, words) in enumerate(rows):
            if topic in result.refused:
                continue
            partition = (topic, zlib.crc32(key) % widths[topic])
            if partition in full:
                continue
            if partition not in batches:
                batches[partition] = (producer.create_batch(), [])
            batch, indexes = batches[partition]
            headers = [CONTENT_TYPE] if words is None else [CONTENT_TYPE, ("words", words)]
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                full.add(partition)
            else:
                indexes.append(index)
        await asyncio.gather(
            *(
                self._send_batch(producer, partition, filled, result, seconds or _PUBLISH_SECONDS)
                for partition, filled in batches.items()
            )
        )
        if result.sent:
            result.refused.update(result.failed)
        result.sent.sort(key=lambda item: item[0])
        return result

    async def _send_batch(
        self,
        producer: Any,
        target: Partition,
        filled: tuple[Any, list[int]],
        result: PublishResult,
        seconds: float,
    ) -> None:
        (topic, partition), (batch, indexes) = target, filled
        try:
            async with asyncio.timeout(seconds):
                answer = await (await producer.send_batch(batch, topic, partition=partition))
        except (KafkaError, TimeoutError) as error:
            result.failed[topic] = missing_right(error, self.access, "write to") or type(error).__name__
            if isinstance(error, _REFUSALS):
                result.refused.add(topic)
            return
        result.sent.extend(
            (index, RecordMetadata(partition, answer.offset + n)) for n, index in enumerate(indexes)
        )

    async def _started(self) -> Any:
        if self._producer is not None:
            return self._producer
        async with self._changing:
            if self._producer is None:
                await self._start()
            return self._producer

    async def _start(self) -> None:
        producer = AIOKafkaProducer(
            **self.access.options(),
            client_id=self._client_id,
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=_REQUEST_SECONDS * 1000,
            metadata_max_age_ms=30_000,
        )
        try:
            await producer.start()
        except BaseException:
            await stop_client(producer, _STOP_SECONDS)
            raise
        self._producer = producer

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and not await stop_client(producer, _STOP_SECONDS):
            await kill_producer(producer, _STOP_SECONDS)


def _known(producer: Any, topic: str) -> int:
    return len(producer.client.cluster.partitions_for_topic(topic) or ())


TopicMissing = UnknownTopicOrPartitionError


def fetch_options(patience: float) -> dict[str, int]:
    """Options of a consumer: for how many seconds the broker lets records wait for others, up to a megabyte.

    A fetch costs broker and client the same with one record or a thousand.
    """
    if not patience:
        return {"fetch_max_wait_ms": _FETCH_WAIT_MS}
    return {"fetch_max_wait_ms": int(patience * 1000), "fetch_min_bytes": _PATIENT_BYTES}


class Reader:
    """Reads all partitions of some topics as bytes, from given offsets and without a consumer group.

    `committed_only`: records of open or aborted transactions are not returned. `patience`: seconds that the
    broker lets records wait for others.
    """

    def __init__(
        self,
        access: KafkaAccess,
        client_id: str,
        topics: Sequence[str],
        *,
        committed_only: bool = False,
        patience: float = 0.0,
    ) -> None:
        self._topics = tuple(topics)
        self._username = access.username
        self._consumer: Any = AIOKafkaConsumer(
            **access.options(),
            client_id=client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed" if committed_only else "read_uncommitted",
            **fetch_options(patience),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=5000,
            request_timeout_ms=15_000,
        )

    async def start(self, offsets: dict[Partition, int]) -> None:
        """Assigns itself every partition and seeks; reads a partition without an offset from its beginning.

        Raises KafkaError if a topic is missing or no broker answers; it is stopped then.
        """
        try:
            await self._start(offsets)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, offsets: dict[Partition, int]) -> None:
        await self._consumer.start()
        assigned: list[Any] = []
        for topic in self._topics:
            numbers = self._consumer.partitions_for_topic(topic)
            if not numbers:
                numbers = await fresh_partitions(self._consumer, topic)
            if not numbers:
                # A broker shows no topic to who has no right on it.
                hidden = f", or the Kafka user {self._username} may not read it" if self._username else ""
                raise UnknownTopicOrPartitionError(
                    f"{topic} does not exist{hidden}: run `civicloom topics apply`"
                )
            assigned.extend(TopicPartition(topic, number) for number in numbers)
        self._consumer.assign(assigned)
        for partition in assigned:
            offset = offsets.get(partition)
            if offset is not None:
                self._consumer.seek(partition, offset)

    async def stop(self) -> None:
        await stop_consumer(self._consumer, _STOP_SECONDS)

    async def read(self, limit: int, wait_ms: int) -> list[RawRecord]:
        """Up to `limit` records, in offset order per partition; an empty list if none came within `wait_ms`.

        Raises StaleMetadata if a topic has partitions that are not assigned: start a new reader.
        """
        assigned = self._consumer.assignment()
        for topic in self._topics:
            for partition in self._consumer.partitions_for_topic(topic) or ():
                if TopicPartition(topic, partition) not in assigned:
                    raise StaleMetadata(f"{topic} has a new partition {partition}")
        batches = await self._consumer.getmany(timeout_ms=wait_ms, max_records=limit)
        return [raw_record(record) for records in batches.values() for record in records]

    async def offsets_at(self, timestamp_ms: int) -> dict[Partition, int]:
        """By partition the first offset that was appended at this time or later; the end if there is none."""
        wanted = dict.fromkeys(self._consumer.assignment(), timestamp_ms)
        found = await self._consumer.offsets_for_times(wanted)
        ends = await self.ends()
        return {
            (one.topic, one.partition): ends[one] if at is None else at.offset for one, at in found.items()
        }

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Continues each of these partitions at the given offset."""
        for (topic, partition), offset in offsets.items():
            self._consumer.seek(TopicPartition(topic, partition), offset)

    async def positions(self) -> dict[Partition, int]:
        """The next offset to read, by partition; beyond markers and what the topic no longer has."""
        return {
            (one.topic, one.partition): await self._consumer.position(one)
            for one in self._consumer.assignment()
        }

    async def ends(self) -> dict[Partition, int]:
        """The offset after the last record, by partition."""
        found = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return {(partition.topic, partition.partition): offset for partition, offset in found.items()}

    async def begins(self) -> dict[Partition, int]:
        """The offset of the first record that is still there, by partition; the end where there is none."""
        found = await self._consumer.beginning_offsets(list(self._consumer.assignment()))
        return {(partition.topic, partition.partition): offset for partition, offset in found.items()}


async def existing_topics(access: KafkaAccess, client_id: str) -> set[str]:
    """The names of all topics that the broker has. Raises KafkaError if no broker answers."""
    consumer = AIOKafkaConsumer(**access.options(), client_id=client_id)
    try:
        await consumer.start()
        found: set[str] = await consumer.topics()
        return found
    finally:
        await stop_consumer(consumer, _STOP_SECONDS)


async def read_until(
    reader: Reader, ends: Mapping[Partition, int], limit: int = 2000
) -> AsyncIterator[list[RawRecord]]:
    """Reads a started reader up to `ends`, in batches of at most `limit` records."""
    while any(position < ends[one] for one, position in (await reader.positions()).items() if one in ends):
        records = await reader.read(limit, 200)
        if wanted := [r for r in records if r.offset < ends.get((r.topic, r.partition), 0)]:
            yield wanted


def raw_record(record: Any) -> RawRecord:
    """aiokafka's record as plain data; headers without a value are dropped."""
    return RawRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple((name, value) for name, value in record.headers if value is not None),
    )
