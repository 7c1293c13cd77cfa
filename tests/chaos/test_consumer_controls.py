"""Controls of a consumer: without a mechanism it loses in silence, or applies what nobody said."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.pair import Pair
from harness.schema import open_service_database
from shared.contracts.routing import SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox.consumer import Consumer
from shared.inbox.handlers import Handlers, Results
from shared.inbox.partition_worker import FetchedRun
from shared.kafka.fingerprint import Identity
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.inbox.actions import Actions, actions, signing
from tests.waiting import running, until

pytestmark = pytest.mark.chaos


@pytest.fixture
async def unit(database: str, namespace: str, pair: Pair) -> AsyncIterator[Actions]:
    reader = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    try:
        async with actions(reader, pair.access, partitions=2) as made:
            yield made
    finally:
        await reader.close()


@pytest.mark.parametrize("compares", [True, False])
async def test_a_topic_made_again_is_skipped_in_silence_unless_logs_are_compared(
    unit: Actions, monkeypatch: pytest.MonkeyPatch, compares: bool
) -> None:
    old, new = ["old-0", "old-1"], ["new-0", "new-1", "new-2"]
    await unit.send(old)
    async with unit.reading(*old):
        pass
    await unit.recreate()
    await unit.send(new)
    if not compares:
        monkeypatch.setattr("shared.inbox.log_check.compare", lambda *_: Identity.SAME)
    async with unit.reading("new-2"):
        pass
    assert unit.applied == (old + new if compares else [*old, "new-2"])
    assert bool(await unit.losses()) == compares


@pytest.mark.parametrize("waits", [True, False])
async def test_what_a_unit_aborted_is_applied_unless_only_committed_records_are_read(
    unit: Actions, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    if not waits:
        monkeypatch.setattr("shared.inbox.faststream_adapter._ISOLATION", "read_uncommitted")
    async with AIOKafkaProducer(**unit.access.options(), transactional_id=unit.topic) as water:
        with pytest.raises(ZeroDivisionError):
            async with water.transaction():
                await water.send_and_wait(unit.topic, signing("aborted"), key=b"case-1", partition=0)
                raise ZeroDivisionError
    await unit.send(["said"])
    async with unit.reading("said"):
        pass
    assert unit.applied == (["said"] if waits else ["aborted", "said"])


class WaitsForAll(Consumer):
    """Polls again only when all that it has polled is applied."""

    async def _handle(self, runs: Sequence[FetchedRun]) -> None:
        await super()._handle(runs)
        while any(worker._runs or worker._is_applying for worker in self._workers.values()):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", [Consumer, WaitsForAll])
async def test_a_partition_that_hangs_holds_up_others_unless_each_has_a_worker_of_its_own(
    unit: Actions, kind: type[Consumer]
) -> None:
    hangs, go_on = asyncio.Event(), asyncio.Event()
    handlers = Handlers()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        if events[0].id == "hangs":
            hangs.set()
            await go_on.wait()
        unit.applied.extend(event.id for event in events)
        return None

    await unit.send(["hangs"])
    async with running(kind(unit.reader, handlers, name=unit.topic, topics=[unit.topic]).run):
        await until(hangs.is_set)
        await unit.send(["other"], partition=1, subject="case-2")
        if kind is Consumer:
            await until(lambda: unit.applied == ["other"])
        else:
            await asyncio.sleep(1)
            assert unit.applied == []
        go_on.set()
        await until(lambda: len(unit.applied) == 2)
