"""The producer and the reader over fake aiokafka clients: batching, results, and topics that are at fault."""

import asyncio
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    StaleMetadata,
    UnknownTopicOrPartitionError,
)

from shared.kafka import client as clients
from shared.kafka.client import CONTENT_TYPE, Producer, PublishResult, Reader, RecordMetadata
from shared.kafka_access import KafkaAccess

ROOM = 3
"""How many records a fake batch holds."""


class FakeBatch:
    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, **record: Any) -> object | None:
        if len(self.records) == ROOM:
            return None
        self.records.append(record)
        return object()


class FakeProducer:
    """Four partitions a topic. `errors`: how a topic's batches end; an Event means never acknowledged."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.errors: dict[str, Any] = {}

    async def partitions_for(self, _: str) -> set[int]:
        return {0, 1, 2, 3}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> Any:
        error = self.errors.get(topic)
        if isinstance(error, Exception):
            raise error
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if error is None:
            self.sent[topic, partition] = batch.records
            acknowledged.set_result(SimpleNamespace(offset=100))
        return acknowledged


@pytest.fixture
def inner() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def producer(inner: FakeProducer) -> Producer:
    made = Producer(KafkaAccess("127.0.0.1:1"), "test")
    made._producer = inner
    return made


async def test_a_key_always_goes_to_the_partition_of_its_checksum(
    producer: Producer, inner: FakeProducer
) -> None:
    keys = [f"key-{n}".encode() for n in range(8)]
    await producer.publish([("t", key, b"v", None) for key in keys])
    for (_, partition), records in inner.sent.items():
        assert {zlib.crc32(record["key"]) % 4 for record in records} == {partition}
    assert sum(map(len, inner.sent.values())) == 8


async def test_words_travel_as_a_header(producer: Producer, inner: FakeProducer) -> None:
    await producer.publish([("t", b"k", b"1", b"words"), ("t", b"k", b"2", None)])
    ((_, records),) = inner.sent.items()
    assert [record["headers"] for record in records] == [[CONTENT_TYPE, ("words", b"words")], [CONTENT_TYPE]]


async def test_each_row_gets_its_partition_and_offset(producer: Producer) -> None:
    partition = zlib.crc32(b"k") % 4
    result = await producer.publish(
        [("t", b"k", b"1", None), ("u", b"k", b"2", None), ("t", b"k", b"3", None)]
    )
    assert result == PublishResult(
        [
            (0, RecordMetadata(partition, 100)),
            (1, RecordMetadata(partition, 100)),
            (2, RecordMetadata(partition, 101)),
        ]
    )


async def test_rows_behind_a_full_batch_wait_even_if_a_smaller_one_would_fit(
    producer: Producer, inner: FakeProducer
) -> None:
    result = await producer.publish([("t", b"k", str(n).encode(), None) for n in range(5)])
    assert [index for index, _ in result.sent] == [0, 1, 2]
    ((_, records),) = inner.sent.items()
    assert [record["value"] for record in records] == [b"0", b"1", b"2"]


async def test_a_topic_that_says_so_is_at_fault_itself(producer: Producer, inner: FakeProducer) -> None:
    inner.errors["bad"] = MessageSizeTooLargeError()
    result = await producer.publish([("bad", b"k", b"1", None)])
    assert (result.failed, result.refused) == ({"bad": "MessageSizeTooLargeError"}, {"bad"})


async def test_a_failure_of_every_topic_may_be_the_brokers(producer: Producer, inner: FakeProducer) -> None:
    inner.errors |= {"a": KafkaConnectionError(), "b": KafkaConnectionError()}
    result = await producer.publish([("a", b"k", b"1", None), ("b", b"k", b"2", None)])
    assert result.failed.keys() == {"a", "b"}
    assert result.refused == set()


async def test_a_topic_that_fails_while_another_is_accepted_is_at_fault(
    producer: Producer, inner: FakeProducer
) -> None:
    inner.errors["slow"] = asyncio.Event()
    result = await producer.publish([("slow", b"k", b"1", None), ("good", b"k", b"2", None)], seconds=0.01)
    assert result.failed == {"slow": "TimeoutError"}
    assert result.refused == {"slow"}
    assert [index for index, _ in result.sent] == [1]


class FakeConsumer:
    """A consumer of topics with given partitions; `fresh` are those that only the broker knows."""

    def __init__(self, **_: Any) -> None:
        self.known: dict[str, set[int]] = {"t": {0, 1}}
        self.fresh: dict[str, set[int]] = {}
        self.assigned: list[TopicPartition] = []
        self.sought: list[tuple[TopicPartition, int]] = []
        self.stopped = False
        self._client = self

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        self.stopped = True

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return self.known.get(topic)

    async def force_metadata_update(self) -> None:
        self.known |= self.fresh

    async def fetch_all_metadata(self) -> Any:
        return self

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = partitions

    def assignment(self) -> set[TopicPartition]:
        return set(self.assigned)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        return {}

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 9)


def reader_of(monkeypatch: pytest.MonkeyPatch, *topics: str) -> tuple[Reader, FakeConsumer]:
    monkeypatch.setattr(clients, "AIOKafkaConsumer", FakeConsumer)
    reader = Reader(KafkaAccess("127.0.0.1:1"), "test", topics)
    return reader, reader._consumer


async def test_a_reader_starts_where_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, consumer = reader_of(monkeypatch, "t")
    await reader.start({("t", 1): 7, ("other", 0): 3})
    assert consumer.assigned == [TopicPartition("t", 0), TopicPartition("t", 1)]
    assert consumer.sought == [(TopicPartition("t", 1), 7)]
    assert await reader.ends() == {("t", 0): 9, ("t", 1): 9}
    assert await reader.read(10, 1) == []


async def test_a_reader_asks_the_broker_for_a_topic_that_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, consumer = reader_of(monkeypatch, "new")
    consumer.fresh = {"new": {0}}
    await reader.start({})
    assert consumer.assigned == [TopicPartition("new", 0)]


async def test_a_reader_of_a_missing_topic_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, consumer = reader_of(monkeypatch, "missing")
    with pytest.raises(UnknownTopicOrPartitionError, match="civicloom topics apply"):
        await reader.start({})
    assert consumer.stopped


async def test_a_reader_refuses_to_read_on_beside_a_new_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, consumer = reader_of(monkeypatch, "t")
    await reader.start({})
    consumer.known["t"] = {0, 1, 2}
    with pytest.raises(StaleMetadata, match="t has a new partition 2"):
        await reader.read(10, 1)


async def test_keys_are_hashed_over_the_width_that_is_asked_for(
    producer: Producer, inner: FakeProducer
) -> None:
    keys = [f"key-{n}".encode() for n in range(20)]
    await producer.publish([("t", key, b"v", None) for key in keys], widths={"t": 3})
    assert {partition for _, partition in inner.sent} == {0, 1, 2}
    for (_, partition), records in inner.sent.items():
        assert {zlib.crc32(record["key"]) % 3 for record in records} == {partition}


async def test_a_topic_narrower_than_asked_for_is_refused_and_the_others_are_sent(
    producer: Producer, inner: FakeProducer
) -> None:
    result = await producer.publish(
        [("t", b"k", b"1", None), ("u", b"k", b"2", None)], widths={"t": 5, "u": 4}
    )
    assert (result.failed, result.refused) == ({"t": "TooFewPartitions"}, {"t"})
    assert {topic for topic, _ in inner.sent} == {"u"}
