"""A producer that is stopped with an unacknowledged batch."""

import asyncio
import secrets
from pathlib import Path

import pytest

from deploy.local.kafka import Kafka
from deploy.local.pair import Pair
from deploy.local.ports import free_port
from harness.proxy import Proxy
from harness.schema import make_topics
from shared.contracts.addresses import topic_name
from shared.kafka import client as kafka
from shared.kafka.client import KafkaError, Producer
from shared.kafka_access import KafkaAccess


async def test_a_stopped_producer_sends_nothing_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor sends the batch again; a producer that lived on would send it behind newer ones."""
    namespace = f"t{secrets.token_hex(4)}"
    await make_topics(pair.access, namespace, [])
    topic = f"{namespace}.inquiry.v1"
    monkeypatch.setattr(kafka, "_STOP_SECONDS", 0.2)
    producer = Producer(pair.access, "given-up")
    await producer.start()
    inner = producer._producer
    away = asyncio.Event()

    async def waits(*_: object) -> None:
        await away.wait()

    monkeypatch.setattr(inner._sender, "_send_produce_req", waits)
    sending = asyncio.create_task(producer.publish([(topic, b"k", b"{}", None)]))
    async with asyncio.timeout(10):
        while not inner._sender._in_flight:
            await asyncio.sleep(0.01)
    await producer.stop()
    away.set()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    async with asyncio.timeout(10):
        while not inner._sender.sender_task.done():
            await asyncio.sleep(0.01)


async def test_a_producer_whose_connection_was_lost_without_an_end_learns_of_a_new_topic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "_REQUEST_SECONDS", 1)
    port = free_port()
    with Proxy(port) as network, Kafka(tmp_path / "kafka", port, advertised_port=network.port):
        access = KafkaAccess(f"127.0.0.1:{network.port}")
        await make_topics(access, "t", [])
        known, new = topic_name("t", "inquiry"), topic_name("t", "department", "water")
        producer = Producer(access, "test")
        try:
            assert await producer.partitions({known: 1})
            network.lose_network()
            with pytest.raises(KafkaError):
                await producer.partitions({new: 1})
            network.mend()
            await make_topics(access, "t", ["water"])
            async with asyncio.timeout(15):
                while not (found := await partitions_or_none(producer, new)):
                    await asyncio.sleep(0.1)
            assert found == {new: 1}
        finally:
            await producer.stop()


async def partitions_or_none(producer: Producer, topic: str) -> dict[str, int] | None:
    try:
        return await producer.partitions({topic: 1})
    except KafkaError:
        return None
