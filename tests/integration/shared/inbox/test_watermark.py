"""The low watermark against a real broker, as seen by one of two replicas."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseTriaged
from shared.events.decoding import IncomingEvent
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers, Results
from shared.inbox.watermark import Watermark
from shared.kafka.client import KafkaError, Producer
from shared.outbox.relay import Relay
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.waiting import running, until


@pytest.fixture
async def databases(database: str, namespace: str, pair: Pair) -> AsyncIterator[list[Database]]:
    await make_topics(pair.access, namespace, [])
    opened = [
        await open_service_database(database, service, namespace=namespace, access=pair.access)
        for service in ("routing", "inquiry")
    ]
    yield opened
    for one in opened:
        await one.close()


def looked(watermark: Watermark, holds: Callable[[float], bool]) -> Callable[[], Awaitable[bool]]:
    """A condition on the lag, measured again each time."""

    async def condition() -> bool:
        with contextlib.suppress(KafkaError):  # not started yet
            await watermark.sample()
        return holds(watermark.lag())

    return condition


async def test_what_a_stuck_sibling_has_not_applied_adds_to_the_other_replicas_lag(
    databases: list[Database], pair: Pair, namespace: str
) -> None:
    writer, reader = databases
    going_on = asyncio.Event()
    taken: list[str] = []

    def handlers(*, stuck: bool) -> Handlers:
        found = Handlers()

        @found.on(CaseTriaged)
        async def take(_: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
            if stuck:
                await going_on.wait()
            taken.extend(event.subject for event in events)
            return None

        return found

    topics = [topic_name(namespace, "routing")]
    well, sick = [Consumer(reader, handlers(stuck=stuck), name="two", topics=topics) for stuck in (0, 1)]
    relay = Relay(writer, producer := Producer(pair.access, "test"))
    watermark = Watermark(reader, [well])
    async with running(well.run, sick.run, relay.run):
        await until(lambda: well.lag() is not None and sick.lag() is not None)
        await until(looked(watermark, lambda lag: lag < 1))
        keys = [f"k{n}" for n in range(40)]
        async with writer.transaction(keys) as tx:
            for key in keys:
                tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)
        await until(lambda: bool(taken) and well.lag() == 0)
        assert len(taken) < len(keys), "the sibling got no partition: this shows nothing"
        await until(looked(watermark, lambda lag: lag > 2))
        going_on.set()
        await until(looked(watermark, lambda lag: lag < 1))
        assert sorted(taken) == sorted(keys)
    await producer.stop()


async def test_a_pattern_without_a_topic_has_no_lag(databases: list[Database]) -> None:
    consumer = Consumer(databases[1], Handlers(), name="none", pattern=r"^nobody\.has\.such\.a\.topic$")
    watermark = Watermark(databases[1], [consumer])
    async with running(consumer.run):
        await until(looked(watermark, lambda lag: lag < 1))
        assert consumer.lag() == 0
