"""The one typed adapter over aiokafka: an idempotent producer of waves, and a reader of whole topics."""

import asyncio
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    StaleMetadata,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from shared.kafka.records import RawRecord
from shared.kafka.tolerant_records import TolerantRecords

__all__ = ["KafkaError", "Producer", "PublishResult", "Reader", "RecordMetadata"]

fetcher.MemoryRecords = TolerantRecords  # for every consumer of this process, FastStream's as well

_REQUEST_SECONDS = 10
_STOP_SECONDS = 5
_BATCH_BYTES = 512 * 1024
_WAVE_SECONDS = 20
# A topic that answers so refuses for itself. Of a topic without a leader or with too few replicas the client
# tells nothing: it asks again for ever, and only what becomes of the other topics shows whose fault it is.
_REFUSALS = (InvalidTopicError, MessageSizeTooLargeError, TopicAuthorizationFailedError)
CONTENT_TYPE = ("content-type", b"application/cloudevents+json; charset=utf-8")


class RecordMetadata(NamedTuple):
    """Where the broker put a record."""

    partition: int
    offset: int


@dataclass(slots=True)
class PublishResult:
    """`sent`: index of the row and its place. `failed`: topics with a failed batch and why. `refused`: of
    these, the ones that refuse by themselves, since the broker says so or took something else meanwhile."""

    sent: list[tuple[int, RecordMetadata]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)


class Producer:
    """Idempotent, `acks=all`. After any failed batch it must be renewed."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._producer: Any = None

    async def start(self) -> None:
        """Connects. Raises KafkaError if no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
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
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await producer.stop()
            except TimeoutError:
                # Else it would go on by itself, and send when the broker is back what its successor has sent.
                sending = producer._sender.sender_task
                sending.cancel()
                await producer.client.close()
                await asyncio.wait([sending], timeout=_STOP_SECONDS)

    async def renew(self) -> None:
        """A new producer id: what is in doubt is sent again, and readers drop what they have."""
        await self.stop()
        await self.start()

    async def missing(self, topics: set[str]) -> set[str]:
        """Those topics that the broker does not have, without the client's ten seconds of waiting."""
        producer = await self._started()
        unknown: set[str] = topics - producer.client.cluster.topics()
        if not unknown:
            return set()
        for topic in unknown:
            producer.client.add_topic(topic)
        metadata = await producer.client.fetch_all_metadata()
        known: set[str] = set(metadata.topics())
        return unknown - known

    async def publish(
        self, rows: Sequence[tuple[str, bytes, bytes, bytes | None]], seconds: float | None = None
    ) -> PublishResult:
        """Sends (topic, key, value, words) rows as one batch per partition, in row order.

        Rows that do not fit into their partition's batch are simply not in the outcome: they come
        with the next wave. A batch that is not acknowledged within `seconds` has failed.
        """
        producer = await self._started()
        batches: dict[tuple[str, int], tuple[Any, list[int]]] = {}
        full: set[tuple[str, int]] = set()
        widths: dict[str, int] = {}
        for topic in {row[0] for row in rows}:
            await producer.client._wait_on_metadata(topic)
            widths[topic] = len(producer.client.cluster.partitions_for_topic(topic))
        for index, (topic, key, value, words) in enumerate(rows):
            place = (topic, zlib.crc32(key) % widths[topic])
            if place in full:
                continue
            if place not in batches:
                batches[place] = (producer.create_batch(), [])
            batch, indexes = batches[place]
            headers = [CONTENT_TYPE] if words is None else [CONTENT_TYPE, ("words", words)]
            if batch.append(key=key, value=value, timestamp=None, headers=headers) is None:
                full.add(place)
            else:
                indexes.append(index)
        outcome = PublishResult()
        await asyncio.gather(
            *(
                self._send_batch(producer, place, filled, outcome, seconds or _WAVE_SECONDS)
                for place, filled in batches.items()
            )
        )
        if outcome.sent:
            outcome.refused.update(outcome.failed)
        outcome.sent.sort(key=lambda item: item[0])
        return outcome

    async def _send_batch(
        self,
        producer: Any,
        place: tuple[str, int],
        filled: tuple[Any, list[int]],
        outcome: PublishResult,
        seconds: float,
    ) -> None:
        (topic, partition), (batch, indexes) = place, filled
        try:
            async with asyncio.timeout(seconds):
                answer = await (await producer.send_batch(batch, topic, partition=partition))
        except (KafkaError, TimeoutError) as error:
            outcome.failed[topic] = type(error).__name__
            if isinstance(error, _REFUSALS):
                outcome.refused.add(topic)
            return
        outcome.sent.extend(
            (index, RecordMetadata(partition, answer.offset + n)) for n, index in enumerate(indexes)
        )

    async def _started(self) -> Any:
        if self._producer is None:
            await self.start()
        return self._producer


class Reader:
    """Reads all partitions of some topics from given offsets, as bytes, without a group, for the log."""

    def __init__(self, bootstrap: str, client_id: str, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=client_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metadata_max_age_ms=5000,
            request_timeout_ms=15_000,
        )

    async def start(self, offsets: dict[tuple[str, int], int]) -> None:
        """Assigns itself every partition and seeks; a partition without an offset is read from its beginning.

        Raises KafkaError if a topic is missing or no broker answers; nothing stays open then.
        """
        try:
            await self._start(offsets)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, offsets: dict[tuple[str, int], int]) -> None:
        await self._consumer.start()
        places: list[Any] = []
        for topic in self._topics:
            partitions = self._consumer.partitions_for_topic(topic)
            if not partitions:
                await self._consumer._client.force_metadata_update()
                metadata = await self._consumer._client.fetch_all_metadata()
                partitions = metadata.partitions_for_topic(topic)
            if not partitions:
                raise UnknownTopicOrPartitionError(f"{topic} does not exist: run `civicloom topics apply`")
            places.extend(TopicPartition(topic, partition) for partition in partitions)
        self._consumer.assign(places)
        for place in places:
            offset = offsets.get((place.topic, place.partition))
            if offset is not None:
                self._consumer.seek(place, offset)

    async def stop(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._consumer.stop()

    async def read(self, limit: int, wait_ms: int) -> list[RawRecord]:
        """Up to `limit` records in offset order per partition; an empty list after `wait_ms` without any.

        Raises StaleMetadata once a topic has got partitions that are not read: begin again, anew.
        """
        assigned = self._consumer.assignment()
        for topic in self._topics:
            for partition in self._consumer.partitions_for_topic(topic) or ():
                if TopicPartition(topic, partition) not in assigned:
                    raise StaleMetadata(f"{topic} has got partition {partition}")
        batches = await self._consumer.getmany(timeout_ms=wait_ms, max_records=limit)
        return [raw_record(record) for records in batches.values() for record in records]

    async def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record of every partition."""
        found = await self._consumer.end_offsets(list(self._consumer.assignment()))
        return {(place.topic, place.partition): offset for place, offset in found.items()}


def raw_record(record: Any) -> RawRecord:
    """A client's record as plain data."""
    return RawRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple((name, value) for name, value in record.headers if value is not None),
    )
