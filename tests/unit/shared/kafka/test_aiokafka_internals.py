"""Each private attribute of aiokafka that we use exists in the locked version, and means what we think."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.producer.sender import Sender
from aiokafka.record.default_records import _DefaultRecordBatchPy

from shared.kafka import aiokafka_internals as internals
from shared.kafka import client as _client  # noqa: F401  (installs the record parser)
from shared.kafka.tolerant_records import TolerantRecords


@pytest.fixture
async def consumer() -> AsyncIterator[AIOKafkaConsumer]:
    made = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    yield made
    await made.stop()


def source_of(function: Any) -> str:
    return inspect.getsource(function)


async def test_a_producer_has_a_sender_with_a_task() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    assert isinstance(producer._sender, Sender)
    assert isinstance(Sender.sender_task, property)
    assert producer.client is not None
    await producer.stop()


async def test_killing_a_producer_cancels_its_sender_and_closes_its_client() -> None:
    closed: list[bool] = []

    async def forever() -> None:
        await asyncio.Event().wait()

    async def close() -> None:
        closed.append(True)

    task = asyncio.create_task(forever())
    producer = SimpleNamespace(_sender=SimpleNamespace(sender_task=task), client=SimpleNamespace(close=close))
    await internals.kill_producer(producer, 5)
    assert task.cancelled()
    assert closed == [True]


async def test_a_consumer_has_a_client_that_refreshes_metadata(consumer: AIOKafkaConsumer) -> None:
    assert isinstance(consumer._client, AIOKafkaClient)
    assert inspect.iscoroutinefunction(AIOKafkaClient.fetch_all_metadata)
    assert callable(AIOKafkaClient.force_metadata_update)
    assert callable(ClusterMetadata.partitions_for_topic)


async def test_a_consumer_has_a_coordinator_and_a_fetcher(consumer: AIOKafkaConsumer) -> None:
    assert {"_coordinator", "_fetcher"} <= vars(consumer).keys()
    assert "self._coordinator = GroupCoordinator(" in source_of(AIOKafkaConsumer)
    assert "self._fetcher = Fetcher(" in source_of(AIOKafkaConsumer)


def test_coordinator_and_fetcher_each_keep_their_task() -> None:
    assert "self._coordination_task = create_task(" in source_of(GroupCoordinator)
    assert "self._fetch_task = create_task(" in source_of(fetcher.Fetcher)


@pytest.mark.parametrize("dead", ["coordination", "fetch"])
async def test_a_consumer_with_an_ended_task_is_dead(dead: str) -> None:
    async def nothing() -> None:
        return

    ended, alive = asyncio.create_task(nothing()), asyncio.create_task(asyncio.sleep(60))
    await ended
    coordination, fetch = (ended, alive) if dead == "coordination" else (alive, ended)
    consumer: Any = SimpleNamespace(
        _coordinator=SimpleNamespace(_coordination_task=coordination),
        _fetcher=SimpleNamespace(_fetch_task=fetch),
    )
    assert internals.has_dead_task(consumer)
    consumer._coordinator._coordination_task = consumer._fetcher._fetch_task = alive
    assert not internals.has_dead_task(consumer)
    alive.cancel()


async def test_polls_are_watched_whether_they_succeed_or_fail(consumer: AIOKafkaConsumer) -> None:
    answers: list[Any] = [{"a": 1}, RuntimeError("no broker")]

    async def getmany(**_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    consumer.getmany = getmany
    seen: list[bool] = []
    internals.watch_polls(consumer, seen.append)
    assert await consumer.getmany(timeout_ms=1) == {"a": 1}
    with pytest.raises(RuntimeError):
        await consumer.getmany()
    assert seen == [True, False]


async def test_a_poll_ends_with_records_only(consumer: AIOKafkaConsumer) -> None:
    answers: list[dict[str, int]] = [{}, {}, {"a": 1}]

    async def getmany(**_: object) -> dict[str, int]:
        return answers.pop(0)

    consumer.getmany = getmany
    seen: list[bool] = []
    internals.watch_polls(consumer, seen.append)
    assert await consumer.getmany(timeout_ms=1) == {"a": 1}
    assert seen == [True, True, True]


async def test_the_position_of_a_partition_is_known_once_it_was_sought(consumer: AIOKafkaConsumer) -> None:
    assert isinstance(consumer._subscription, SubscriptionState)
    assert isinstance(TopicPartitionState.has_valid_position, property)
    partition = TopicPartition("t", 0)
    consumer._subscription.assign_from_user([partition])
    assert internals.position_of(consumer, partition) is None
    consumer._subscription.seek(partition, 41)
    assert internals.position_of(consumer, partition) == 41
    assert internals.position_of(consumer, TopicPartition("t", 1)) is None


def test_the_fetcher_parses_records_with_ours() -> None:
    assert fetcher.MemoryRecords is TolerantRecords
    assert "MemoryRecords(" in source_of(fetcher.Fetcher)


def test_the_decoder_in_python_uncompresses_into_a_buffer_that_we_can_wrap() -> None:
    assert "self._maybe_uncompress()" in source_of(_DefaultRecordBatchPy)
    assert "self._buffer" in source_of(_DefaultRecordBatchPy._maybe_uncompress)
