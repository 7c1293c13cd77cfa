"""A producer that is stopped with an unacknowledged batch."""

import asyncio
import secrets

import pytest

from deploy.local.pair import Pair
from harness.schema import make_topics
from shared.kafka import client as kafka
from shared.kafka.client import Producer


async def test_a_stopped_producer_sends_nothing_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its successor sends the batch again; a producer that lived on would send it behind newer ones."""
    namespace = f"t{secrets.token_hex(4)}"
    await make_topics(pair.bootstrap, namespace, [])
    topic = f"{namespace}.inquiry.v1"
    monkeypatch.setattr(kafka, "_STOP_SECONDS", 0.2)
    producer = Producer(pair.bootstrap, "given-up")
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
