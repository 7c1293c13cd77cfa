"""Each private attribute of aiokafka that we use exists in the locked version, and means what we think."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError
from aiokafka.producer.sender import Sender
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy

from shared.inbox.faststream_adapter import Subscription
from shared.kafka import aiokafka_internals as internals
from shared.kafka.client import Producer
from shared.kafka.tolerant_records import TolerantRecords
from shared.kafka_access import KafkaAccess


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


async def test_only_metadata_requests_need_their_connection_closed() -> None:
    """aiokafka asks for metadata on the connection itself, and closes it in its own `send` alone."""
    assert "await conn.send(metadata_request)" in source_of(AIOKafkaClient._metadata_update)
    assert ".close(" not in source_of(AIOKafkaClient._metadata_update).split("except (KafkaError")[1][:300]
    assert "close(reason=CloseReason.CONNECTION_TIMEOUT)" in source_of(AIOKafkaClient.send)
    assert list(inspect.signature(internals._send).parameters) == ["self", "request", "expect_response"]


@pytest.mark.parametrize(("error", "closed"), [(TimeoutError(), True), (KafkaConnectionError("x"), False)])
async def test_a_connection_is_closed_if_it_does_not_answer_for_metadata(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, closed: bool
) -> None:
    async def answer() -> None:
        raise error

    monkeypatch.setattr(internals, "_send", lambda *_: answer())
    reasons: list[CloseReason] = []
    connection: Any = SimpleNamespace(close=lambda *, reason: reasons.append(reason))
    for request in (MetadataRequest([]), FetchRequest):
        with pytest.raises(type(error)):
            await AIOKafkaConnection.send(connection, request)
    assert reasons == [CloseReason.CONNECTION_TIMEOUT] * closed


@pytest.mark.parametrize("kept", [False, True])
async def test_a_connection_that_no_client_keeps_yet_is_closed_if_its_first_question_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    closed: list[bool] = []
    monkeypatch.setattr(internals, "_send", lambda *_: asyncio.Event().wait())
    connection: Any = SimpleNamespace(
        close=lambda: closed.append(True), _on_close_cb=(lambda *_: None) if kept else None
    )
    for request in (MetadataRequest([]), FetchRequest):
        asking = asyncio.ensure_future(AIOKafkaConnection.send(connection, request))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled()
    assert closed == [True] * (not kept)
    assert "_on_close_cb" in source_of(AIOKafkaConnection.__init__)
    assert "on_close" not in source_of(AIOKafkaClient.bootstrap)
    assert "on_close=self._on_connection_closed" in source_of(internals._get_conn)


async def test_a_client_has_a_synchronizer_from_its_start_to_its_end() -> None:
    assert "self._sync_task = create_task(" in source_of(AIOKafkaClient.bootstrap)
    assert "self._sync_task = None" in source_of(AIOKafkaClient.close)
    assert "await self.ready(node_id, group=group)" in source_of(AIOKafkaClient.send)
    client: Any = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    assert client._sync_task is None
    await client.close()


@pytest.mark.parametrize("closed", [False, True])
async def test_a_closed_client_takes_no_new_connection(
    monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    ended: list[bool] = []
    made = SimpleNamespace(close=lambda: ended.append(True))

    async def get(*_: object, **__: object) -> Any:
        return made

    monkeypatch.setattr(internals, "_get_conn", get)
    client: Any = SimpleNamespace(_sync_task=None if closed else object())
    assert await AIOKafkaClient._get_conn(client, 1) is (None if closed else made)
    assert ended == [True] * closed


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


async def test_all_partitions_are_those_of_the_metadata() -> None:
    widths = {"a": {0, 1}, "b": set[int]()}

    async def fetch_all_metadata() -> Any:
        return SimpleNamespace(topics=widths.keys, partitions_for_topic=widths.get)

    consumer = SimpleNamespace(_client=SimpleNamespace(fetch_all_metadata=fetch_all_metadata))
    assert await internals.all_partitions(consumer) == {("a", 0), ("a", 1)}
    assert callable(ClusterMetadata.topics)


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


async def test_failed_fetches_are_reported(consumer: AIOKafkaConsumer) -> None:
    answers: list[Any] = [
        SimpleNamespace(topics=[("t", [(0, 0, 9), (1, 1, -1)])]),
        NodeNotReadyError(),
        SimpleNamespace(topics=[("t", [(0, 0, 9), (1, 0, 9)])]),
        "no fetch",
    ]

    async def send(*_: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    consumer._client.send = send
    failed: list[set[tuple[str, int]]] = []
    internals.watch_fetches(consumer, failed.append)
    fetch = FetchRequest(50, 1, 1000, 1, [("t", [(0, 4, 1000), (1, 7, 1000)])])
    await consumer._client.send(1, fetch)
    assert failed == [{("t", 1)}]
    with pytest.raises(NodeNotReadyError):
        await consumer._client.send(1, fetch)
    assert failed == [{("t", 1)}, {("t", 0), ("t", 1)}]
    await consumer._client.send(1, fetch)
    assert await consumer._client.send(1, object()) == "no fetch"
    assert len(failed) == 2


def test_the_fetcher_sends_by_the_client_and_reads_the_error_of_each_partition() -> None:
    source = source_of(fetcher.Fetcher._proc_fetch_request)
    assert "await self._client.send(node_id, request)" in source
    assert "for partition, error_code, highwater, *part_data in partitions" in source


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


async def test_a_consumer_that_ends_with_a_cancellation_from_within_cancels_nobody() -> None:
    """As aiokafka does when it is stopped while a fetch that has failed rests."""

    class Resting:
        async def stop(self) -> None:
            fetch = asyncio.ensure_future(asyncio.sleep(10))
            await asyncio.sleep(0)
            fetch.cancel()
            await fetch

    with pytest.raises(asyncio.CancelledError):
        await Resting().stop()
    await internals.stop_client(Resting(), 1)


class Swallowing:
    """Stops as aiokafka does: it awaits a task of its own with CancelledError suppressed."""

    def __init__(self) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()

    async def stop(self) -> None:
        own = asyncio.ensure_future(self.ended.wait())
        self.began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await own


async def stop_by_the_client(client: Swallowing) -> None:
    await internals.stop_client(client, 1)


async def stop_by_our_producer(client: Swallowing) -> None:
    producer = Producer(KafkaAccess("127.0.0.1:1"), "test")
    producer._producer = client
    await producer.stop()


async def stop_by_our_consumer(client: Swallowing) -> None:
    subscription = Subscription.__new__(Subscription)
    subscription._broker = client  # type: ignore[assignment]
    await subscription.stop()


@pytest.mark.parametrize("stop", [stop_by_the_client, stop_by_our_producer, stop_by_our_consumer])
async def test_a_cancellation_that_comes_while_a_client_stops_is_not_lost(
    stop: Callable[[Swallowing], Coroutine[Any, Any, None]],
) -> None:
    client = Swallowing()
    stopping = asyncio.ensure_future(stop(client))
    await client.began.wait()
    stopping.cancel()
    await asyncio.wait({stopping}, timeout=1)
    client.ended.set()
    assert stopping.cancelled()


class Broken(Swallowing):
    """Its tasks have failed, which it says when it is stopped."""

    async def stop(self) -> None:
        await super().stop()
        raise KafkaConnectionError("the fetch task has failed")


@pytest.mark.parametrize("stop", [stop_by_the_client, stop_by_our_producer, stop_by_our_consumer])
async def test_an_error_of_a_stop_does_not_take_the_place_of_a_cancellation(
    stop: Callable[[Swallowing], Coroutine[Any, Any, None]],
) -> None:
    client, works, over = Broken(), asyncio.Event(), asyncio.Event()
    client.ended.set()

    async def loop() -> None:
        while not over.is_set():
            try:
                try:
                    works.set()
                    await asyncio.Event().wait()
                finally:
                    await stop(client)
            except KafkaError:
                await asyncio.sleep(0)

    running = asyncio.ensure_future(loop())
    await works.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=1)
    was_heard = running.cancelled()
    over.set()
    running.cancel()
    await asyncio.wait({running}, timeout=1)
    assert was_heard
