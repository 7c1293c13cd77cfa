"""Transactions: offsets that hold no record are neither lost nor unread."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.pair import Pair
from harness.schema import open_service_database
from shared.inbox.consumer import Consumer
from shared.inbox.watermark import Watermark
from shared.kafka.client import KafkaError
from shared.unit_of_work.database import Database
from tests.integration.shared.inbox.actions import Actions, actions, signing
from tests.waiting import running, until


@pytest.fixture
async def reader(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


@pytest.fixture
async def unit(reader: Database, pair: Pair) -> AsyncIterator[Actions]:
    async with actions(reader, pair.access) as made:
        yield made


@pytest.fixture
async def water(unit: Actions) -> AsyncIterator[AIOKafkaProducer]:
    """The unit's own client: it writes in transactions."""
    async with AIOKafkaProducer(
        **unit.access.options(), transactional_id=unit.topic, transaction_timeout_ms=60_000
    ) as producer:
        yield producer


async def say(unit: Actions, water: AIOKafkaProducer, id_: str, *, abort: bool = False) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with water.transaction():
            await water.send_and_wait(unit.topic, signing(id_), key=b"case-1", partition=0)
            if abort:
                raise ZeroDivisionError


def is_read(unit: Actions, consumer: Consumer) -> Callable[[], Awaitable[bool]]:
    """Whether the watermark has passed what is on the topic now: then deadlines are judged."""

    async def condition() -> bool:
        watermark = Watermark(unit.reader, [consumer])
        with contextlib.suppress(KafkaError):
            await watermark.sample()
        return watermark.lag() < 1

    return condition


async def test_what_was_aborted_is_not_applied_and_nothing_is_lost_or_unread(
    unit: Actions, water: AIOKafkaProducer
) -> None:
    consumer = unit.consumer()
    async with running(consumer.run):
        await say(unit, water, "committed-1")
        await say(unit, water, "aborted", abort=True)
        await say(unit, water, "committed-2")
        await until(lambda: "committed-2" in unit.applied)
        await until(lambda: consumer.lag() == 0)
        await until(is_read(unit, consumer))
        # And with nothing but an aborted transaction at the end.
        await say(unit, water, "aborted too", abort=True)
        await until(lambda: consumer.lag() == 0)
        await until(is_read(unit, consumer))
    assert unit.applied == ["committed-1", "committed-2"]
    assert await unit.losses() == []
    cursor = await unit.cursor()
    assert (cursor["next_offset"], cursor["last_offset"]) == (8, 4)


async def test_a_restart_behind_a_marker_is_the_same_log(unit: Actions, water: AIOKafkaProducer) -> None:
    await say(unit, water, "one")
    async with unit.reading("one"):
        pass
    await say(unit, water, "two")
    async with unit.reading("two"):
        pass
    assert unit.applied == ["one", "two"]
    assert await unit.losses() == []


async def test_a_topic_of_transactions_that_was_created_again_is_another_log(
    unit: Actions, water: AIOKafkaProducer
) -> None:
    await say(unit, water, "old-1")
    await say(unit, water, "old-2")
    async with unit.reading("old-2"):
        pass
    await unit.recreate()
    await unit.send([f"new-{n}" for n in range(6)])
    async with unit.reading("new-5"):
        pass
    assert unit.applied == ["old-1", "old-2", *(f"new-{n}" for n in range(6))]


async def test_an_open_transaction_holds_up_its_own_partition_alone_and_is_shown(
    unit: Actions, water: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.inbox.open_transactions._SHOWN_SECONDS", 0.5)
    consumer = unit.consumer()
    async with running(consumer.run):
        await unit.send(["before"])
        await until(lambda: "before" in unit.applied)
        await water.begin_transaction()
        await water.send_and_wait(unit.topic, signing("open"), key=b"case-1", partition=0)
        await unit.send(["behind"])
        await until(lambda: consumer.open_transactions.shown() == [unit.topic])
        assert consumer.lag() == 2
        assert unit.applied == ["before"]
        # Its writer has not said it yet: deadlines of others are judged meanwhile.
        await until(is_read(unit, consumer))
        await water.commit_transaction()
        await until(lambda: consumer.lag() == 0)
        await until(lambda: not consumer.open_transactions.shown())
    assert unit.applied == ["before", "open", "behind"]
