"""Clients that are cancelled, killed or renewed at any moment leave no connection open and no client alive.

A connection that nobody closed fails the test in which it is collected: warnings are errors.
"""

import asyncio
import gc
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection, CloseReason

from deploy.local.kafka import Kafka
from deploy.local.pair import Pair
from harness.schema import make_topics
from shared.contracts.addresses import topic_name
from shared.kafka import client as kafka
from shared.kafka.admin import KafkaAdmin
from shared.kafka.aiokafka_internals import kill_consumer, stop_client
from shared.kafka.client import Producer, Reader, existing_topics
from shared.kafka.log_state import read_log_states
from shared.kafka_access import KafkaAccess

Works = Callable[[KafkaAccess, str, asyncio.Event], Coroutine[Any, Any, None]]
Starts = Callable[[KafkaAccess, str], Coroutine[Any, Any, object]]


async def start_producer(access: KafkaAccess, topic: str) -> None:
    producer = Producer(access, "test")
    try:
        await producer.start()
        await producer.partitions({topic: 1})
    finally:
        await producer.stop()


async def start_reader(access: KafkaAccess, topic: str) -> None:
    reader = Reader(access, "test", [topic])
    try:
        await reader.start({})
        await reader.read(1, 10)
    finally:
        await reader.stop()


async def look_at_the_log(access: KafkaAccess, topic: str) -> None:
    await read_log_states(access, "test", {(topic, 0): 1})


async def list_topics(access: KafkaAccess, _: str) -> None:
    await existing_topics(access, "test")


async def administer(access: KafkaAccess, topic: str) -> None:
    async with KafkaAdmin(access) as admin:
        await admin.describe([topic])


STARTS: list[Starts] = [start_producer, start_reader, look_at_the_log, list_topics, administer]


@pytest.fixture
async def topic(pair: Pair) -> str:
    namespace = f"t{secrets.token_hex(4)}"
    await make_topics(pair.access, namespace, [])
    return topic_name(namespace, "inquiry")


def connections() -> list[AIOKafkaConnection]:
    """Those that are open, in this whole process."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, AIOKafkaConnection) and one.connected()]


async def none_are_left(before: int) -> None:
    """Waits for a client that still stops: its caller was cancelled meanwhile."""
    async with asyncio.timeout(20):
        while len(connections()) != before:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("starts", STARTS)
async def test_a_client_may_be_cancelled_at_any_moment(pair: Pair, topic: str, starts: Starts) -> None:
    before = len(connections())
    for milliseconds in (*range(1, 11), 13, 16, 20, 30, 60):
        task = asyncio.create_task(starts(pair.access, topic))
        await asyncio.sleep(milliseconds / 1000)
        task.cancel()
        await asyncio.wait([task])
        del task
        await none_are_left(before)


async def test_callers_of_a_producer_that_is_not_started_start_one(
    pair: Pair, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a relay's retry and its publish batch do, while either renews it."""
    started: list[AIOKafkaProducer] = []
    start = AIOKafkaProducer.start

    async def counted(self: AIOKafkaProducer) -> None:
        started.append(self)
        await start(self)

    monkeypatch.setattr(AIOKafkaProducer, "start", counted)
    before = len(connections())
    producer = Producer(pair.access, "test")
    await asyncio.gather(*(producer.partitions({topic: 1}) for _ in range(3)))
    assert len(started) == 1
    await asyncio.gather(producer.renew(), *(producer.partitions({topic: 1}) for _ in range(3)))
    assert len(started) == 2
    await producer.stop()
    await none_are_left(before)


async def produce(access: KafkaAccess, topic: str, working: asyncio.Event) -> None:
    producer = Producer(access, "test")
    try:
        await producer.publish([(topic, b"k", b"{}", None)])
        working.set()
        while True:
            await producer.publish([(topic, b"k", b"{}", None)])
    finally:
        await producer.stop()


async def consume(access: KafkaAccess, topic: str, working: asyncio.Event) -> None:
    reader = Reader(access, "test", [topic])
    try:
        await reader.start({})
        await reader.read(1, 10)
        working.set()
        while True:
            await reader.read(1, 10)
    finally:
        await reader.stop()


@pytest.mark.parametrize("works", [produce, consume])
async def test_a_client_that_is_stopped_while_the_broker_stands_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: Works
) -> None:
    """Whether it waits for an answer or for a connection, which comes about once the broker goes on."""
    monkeypatch.setattr(kafka, "_STOP_SECONDS", 0.3)
    before = len(connections())
    with Kafka(tmp_path / "kafka") as broker:
        access = KafkaAccess(f"127.0.0.1:{broker.port}")
        await make_topics(access, "t", [])
        assert broker.child is not None
        for connects in (False, True):
            working = asyncio.Event()
            running = asyncio.create_task(works(access, topic_name("t", "inquiry"), working))
            await working.wait()
            broker.child.send(SIGSTOP)
            if connects:
                for one in connections():
                    one.close(reason=CloseReason.CONNECTION_BROKEN)
            await asyncio.sleep(0.5)
            running.cancel()
            await asyncio.wait([running])
            broker.child.send(SIGCONT)
            del running
            await none_are_left(before)


async def test_a_consumer_of_a_group_that_is_killed_coordinates_no_more(pair: Pair, topic: str) -> None:
    before = len(connections())
    consumer = AIOKafkaConsumer(topic, **pair.access.options(), group_id=f"{topic}.killed")
    await consumer.start()
    tasks = [consumer._coordinator._coordination_task, consumer._fetcher._fetch_task]
    await kill_consumer(consumer, 5)
    await asyncio.wait(tasks, timeout=5)
    assert all(task.done() for task in tasks)
    await stop_client(consumer, 5)
    del consumer, tasks
    await none_are_left(before)


async def test_a_consumer_that_does_not_stop_is_killed(
    pair: Pair, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_STOP_SECONDS", 0.2)
    before = len(connections())
    reader = Reader(pair.access, "test", [topic])
    await reader.start({})

    async def never() -> None:
        await asyncio.Event().wait()

    coordinator = reader._consumer._coordinator
    close = coordinator.close
    monkeypatch.setattr(coordinator, "close", never)
    await reader.stop()
    assert reader._consumer._client._sync_task is None
    await close()
    await asyncio.wait([reader._consumer._fetcher._fetch_task], timeout=10)
    assert reader._consumer._fetcher._fetch_task.done()
    del reader, coordinator, close
    await none_are_left(before)
