"""Nothing is read behind a failed fetch, or after a sleep in which one could have been missed."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from shared.kafka.watched_reader import LogInDoubt, WatchedReader
from shared.kafka_access import KafkaAccess

TOPIC = "civic.inquiry.v1"
FETCH = FetchRequest(50, 1, 1000, 1, [(TOPIC, [(3, 0, 1000)])])


class Broker:
    """Answers each request of the client with `code` for the partition, or with an error."""

    def __init__(self) -> None:
        self.code = 0
        self.error: Exception | None = None

    async def send(self, _: Any, __: int, ___: Any, **____: Any) -> Any:
        if self.error is not None:
            raise self.error
        return self

    @property
    def topics(self) -> list[Any]:
        return [(TOPIC, [(3, self.code, 100, b"")])]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()

    async def send(client: Any, node: int, request: Any, **options: Any) -> Any:
        return await made.send(client, node, request, **options)

    monkeypatch.setattr(AIOKafkaClient, "send", send)
    return made


@pytest.fixture
async def reader(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WatchedReader]:
    async def getmany(**_: Any) -> dict[Any, Any]:
        return {}

    made = WatchedReader(KafkaAccess("127.0.0.1:1"), "test", [TOPIC])
    monkeypatch.setattr(made._consumer, "getmany", getmany)
    yield made
    await made.stop()


@pytest.mark.parametrize("code", [UnknownTopicOrPartitionError.errno, OffsetOutOfRangeError.errno, 6, 77])
async def test_a_fetch_that_the_broker_refuses_ends_the_reading(
    reader: WatchedReader, broker: Broker, code: int
) -> None:
    await reader._consumer._client.send(1, FETCH)
    assert await reader.read(10, 0) == []
    broker.code = code
    await reader._consumer._client.send(1, FETCH)
    broker.code = 0
    await reader._consumer._client.send(1, FETCH)
    for _ in range(2):
        with pytest.raises(LogInDoubt, match=f"{TOPIC}/3"):
            await reader.read(10, 0)


async def test_a_connection_that_breaks_in_a_fetch_ends_the_reading(
    reader: WatchedReader, broker: Broker
) -> None:
    broker.error = KafkaConnectionError("gone")
    with pytest.raises(KafkaConnectionError):
        await reader._consumer._client.send(1, MetadataRequest([]))
    assert await reader.read(10, 0) == []
    with pytest.raises(KafkaConnectionError):
        await reader._consumer._client.send(1, FETCH)
    with pytest.raises(LogInDoubt):
        await reader.read(10, 0)


async def test_a_process_that_slept_does_not_know_what_it_missed(
    reader: WatchedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await reader.read(10, 0) == []
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + 6)
    with pytest.raises(LogInDoubt, match="stopped"):
        await reader.read(10, 0)
