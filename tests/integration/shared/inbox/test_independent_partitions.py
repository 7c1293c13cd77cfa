"""No partition waits for another one's slow or hanging batch, and a replica that leaves does not either."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deploy.local.pair import Pair
from harness.schema import open_service_database
from shared.contracts.routing import SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox import partition_worker
from shared.inbox.consumer import Consumer
from shared.inbox.floods import FloodLimit, resume
from shared.inbox.handlers import Handlers, Results
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.inbox.actions import Actions, actions
from tests.waiting import running, until

FLOOD = 10_000


@pytest.fixture
async def reader(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


@pytest.fixture
async def unit(reader: Database, pair: Pair) -> AsyncIterator[Actions]:
    async with actions(reader, pair.access, partitions=2) as made:
        yield made


class Slow:
    """Its handler waits with the events of the flood until it may go on."""

    def __init__(self, unit: Actions) -> None:
        self.unit = unit
        self.go_on = asyncio.Event()
        self.hanging = 0
        self.largest = 0

    def consumer(self) -> Consumer:
        handlers = Handlers()

        @handlers.on(SignAction)
        async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
            if events[0].event.id.startswith("flood"):
                self.hanging += 1
                await self.go_on.wait()
            self.largest = max(self.largest, len(events))
            self.unit.applied.extend(event.event.id for event in events)
            return None

        return Consumer(self.unit.reader, handlers, name=self.unit.topic, topics=[self.unit.topic])


async def test_a_partition_that_hangs_with_a_flood_behind_it_holds_up_no_other(unit: Actions) -> None:
    slow = Slow(unit)
    await unit.send([f"flood-{n}" for n in range(FLOOD)], subject=None)
    consumer = slow.consumer()
    async with running(consumer.run):
        await until(lambda: slow.hanging)
        for number in range(5):
            await unit.send([f"other-{number}"], partition=1, subject="case-2")
            await until(lambda: len(unit.applied) > number, "applied beside the flood", seconds=2)  # noqa: B023
            await asyncio.sleep(0.1)
        waiting = consumer._workers[unit.topic, 0]
        assert waiting._records < 2 * partition_worker.MAX_RECORDS
        slow.go_on.set()
        await until(lambda: len(unit.applied) == FLOOD + 5)
    # Under load batches stay large.
    assert slow.largest >= 1000
    assert [one for one in unit.applied if one.startswith("flood")] == [f"flood-{n}" for n in range(FLOOD)]


async def test_a_paused_partition_is_read_again_from_where_it_stood(unit: Actions) -> None:
    async with unit.reading() as consumer:
        await FloodLimit(unit.reader, consumer.name).pause((unit.topic, 0))
        await until(lambda: (unit.topic, 0) in consumer.paused)
        await asyncio.sleep(0.2)  # a poll that is under way may still return some
        await unit.send(["paused-1", "paused-2"])
        await unit.send(["other"], partition=1, subject="case-2")
        await until(lambda: "other" in unit.applied)
        await asyncio.sleep(0.3)
        assert unit.applied == ["other"]
        await resume(unit.reader.pool, unit.topic)
        await until(lambda: len(unit.applied) == 3)
    assert unit.applied == ["other", "paused-1", "paused-2"]


async def test_a_partition_that_hangs_does_not_keep_others_from_moving_to_another_replica(
    unit: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition_worker, "_CLOSE_SECONDS", 0.5)
    slow = Slow(unit)
    await unit.send(["flood-1"])
    first, second = slow.consumer(), slow.consumer()
    async with running(first.run):
        await until(lambda: slow.hanging)
        async with running(second.run):
            await until(lambda: first._workers and second._workers, "each has a partition")
            await unit.send(["other"], partition=1, subject="case-2")
            await until(lambda: "other" in unit.applied)
            assert "flood-1" not in unit.applied
            slow.go_on.set()
            await until(lambda: "flood-1" in unit.applied)
    assert sorted(unit.applied) == ["flood-1", "other"]
