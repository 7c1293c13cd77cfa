"""Bad records beyond the limit of a minute: a unit's partition is paused, a service's topic is reported."""

import dataclasses
import datetime as dt
from collections.abc import AsyncIterator

import pytest

from harness.schema import open_service_database
from shared.contracts.inquiry import InquiryReceived
from shared.contracts.routing import SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox.floods import FloodLimit, PartitionPaused, paused_partitions, resume
from shared.inbox.handlers import Fault, Handlers, Refused, Results
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.metrics import FLOODED
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import Source
from tests.integration.shared.inbox.test_parking import action

LIMIT = 10
BAD = ["fault", "permanent", "refused", "no id"]


@pytest.fixture
async def few(database: str, namespace: str) -> AsyncIterator[Database]:
    opened = await open_service_database(
        database, "routing", namespace=namespace, bad_records_per_minute=LIMIT
    )
    await opened.pool.execute("CREATE TABLE IF NOT EXISTS applied (n serial, subject text, sequence int)")
    yield opened
    tables = "applied, aggregate, outbox, cursor, seen_event, parked_key, parked_event, dead_letter, flood"
    await opened.pool.execute(f"TRUNCATE {tables}")
    await opened.close()


@pytest.fixture
def topic(namespace: str) -> str:
    return f"{namespace}.department.water.actions.v1"


class Unit:
    """Its actions, each about a case of its own, and what became of them."""

    def __init__(self, database: Database, topic: str) -> None:
        self.topic = topic
        self.records: list[RawRecord] = []
        self._pool = database.pool
        handlers = Handlers()
        handlers.on(SignAction)(self._sign)
        handlers.on(InquiryReceived)(self._received)
        self.batches = PartitionBatchProcessor(database, "toy", handlers)

    async def _sign(self, tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        results: list[Fault | Refused | None] = []
        for event in events:
            kind = event.id.partition(" ")[0]
            if kind in ("fault", "permanent"):
                results.append(Fault("no", "", permanent=kind == "permanent"))
            else:
                results.append(Refused() if kind == "refused" else None)
            if kind == "good":
                await tx.connection.execute("INSERT INTO applied (subject) VALUES ($1)", event.id)
        return results

    async def _received(self, _: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("no", "", permanent=True) for _ in events]

    def send(self, kind: str, count: int) -> None:
        for _ in range(count):
            number = len(self.records)
            record = action(self.topic, f"{kind} {number}", number, f"case-{number}")
            if kind == "no id":
                record.value = (record.value or b"").replace(b'"id"', b'"no"')
            elif kind == "no case":
                record.value = b"junk"
            self.records.append(record)

    async def signed(self) -> list[str]:
        return [row["subject"] for row in await self._pool.fetch("SELECT subject FROM applied ORDER BY n")]

    async def read(self, first: int = 0) -> int:
        """The next offset. Raises PartitionPaused."""
        return await self.batches.process(self.records[first:])


async def kept(database: Database) -> int:
    """Rows that stay for a bad record."""
    return await database.pool.fetchval(
        "SELECT (SELECT count(*) FROM parked_event)"
        " + (SELECT count(*) FROM seen_event WHERE id LIKE 'refused%')"
        " + (SELECT count(*) FROM dead_letter WHERE key IS NULL)"
    )


async def later(database: Database, minutes: int) -> None:
    await database.pool.execute(
        "UPDATE flood SET began_at = began_at - $1::interval, paused_until = paused_until - $1::interval",
        dt.timedelta(minutes=minutes),
    )


@pytest.mark.parametrize("bad", BAD)
async def test_a_units_partition_is_paused_at_the_first_record_too_many(
    few: Database, topic: str, bad: str
) -> None:
    unit = Unit(few, topic)
    unit.send("good", 3)
    unit.send(bad, LIMIT + 20)
    unit.send("good", 1)
    with pytest.raises(PartitionPaused) as paused:
        await unit.read()
    assert paused.value.next_offset == 3 + LIMIT
    assert await few.pool.fetchval("SELECT next_offset FROM cursor") == 3 + LIMIT
    assert await kept(few) == LIMIT
    assert await unit.signed() == ["good 0", "good 1", "good 2"]
    assert [row[:3] for row in await paused_partitions(few.pool)] == [("toy", topic, 0)]
    # A replica that does not know yet that it is paused adds nothing.
    with pytest.raises(PartitionPaused):
        await unit.read(3 + LIMIT)
    assert await kept(few) == LIMIT


async def test_after_its_pause_it_goes_on_and_each_further_pause_is_twice_as_long(
    few: Database, topic: str
) -> None:
    unit = Unit(few, topic)
    unit.send("refused", 3 * LIMIT)
    unit.send("good", 1)
    for number, minutes in enumerate((1, 2)):
        with pytest.raises(PartitionPaused):
            await unit.read(number * LIMIT)
        length = "SELECT round(extract(epoch FROM paused_until - now()) / 60) FROM flood"
        assert await few.pool.fetchval(length) == minutes
        await later(few, minutes)
    assert await unit.read(2 * LIMIT) == 3 * LIMIT + 1
    assert await unit.signed() == [f"good {3 * LIMIT}"]
    # Much later a pause is a minute again.
    await later(few, 60)
    unit.send("refused", LIMIT + 1)
    with pytest.raises(PartitionPaused):
        await unit.read(3 * LIMIT + 1)
    assert await few.pool.fetchval("SELECT pauses FROM flood") == 1


async def test_no_pause_is_longer_than_an_hour(few: Database, topic: str) -> None:
    limit = FloodLimit(few, "toy")
    for _ in range(20):
        await limit.pause((topic, 0))
        await few.pool.execute("UPDATE flood SET paused_until = now()")
    await limit.pause((topic, 0))
    assert await few.pool.fetchval("SELECT paused_until - now() <= interval '1 hour' FROM flood")


async def test_fewer_bad_records_than_the_limit_pause_nothing(few: Database, topic: str) -> None:
    unit = Unit(few, topic)
    unit.send("refused", LIMIT)
    unit.send("good", 1)
    assert await unit.read() == LIMIT + 1
    await later(few, 2)
    unit.send("fault", LIMIT)
    assert await unit.read(LIMIT + 1) == 2 * LIMIT + 1
    assert await paused_partitions(few.pool) == []


async def test_a_batch_of_bytes_that_nobody_can_read_is_one_bad_record(few: Database, topic: str) -> None:
    unit = Unit(few, topic)
    for number in range(LIMIT):
        unit.send("no case", 50)
        assert await unit.read(50 * number) == 50 * (number + 1)
    unit.send("no case", 50)
    with pytest.raises(PartitionPaused):
        await unit.read(50 * LIMIT)
    assert await few.pool.fetchval("SELECT array_agg(records) FROM dead_letter") == [50] * LIMIT


async def test_an_operator_ends_the_pause_and_may_let_the_rest_pass(few: Database, topic: str) -> None:
    unit = Unit(few, topic)
    unit.send("refused", 5 * LIMIT)
    with pytest.raises(PartitionPaused):
        await unit.read()
    assert await resume(few.pool, topic) == 1
    assert await paused_partitions(few.pool) == []
    with pytest.raises(PartitionPaused) as paused:
        await unit.read(LIMIT)
    assert paused.value.next_offset == 2 * LIMIT
    assert await resume(few.pool, topic, allow=2 * LIMIT) == 1
    assert await unit.read(2 * LIMIT) == 5 * LIMIT
    assert await resume(few.pool, topic) == 0


async def test_a_services_topic_is_never_paused_and_its_flood_is_counted(
    few: Database, source: Source
) -> None:
    counted = FLOODED.labels("toy", source.topic)._value
    before = counted.get()
    for _ in range(LIMIT + 7):
        source.received()
    unit = Unit(few, source.topic)
    assert await unit.batches.process(source.records) == LIMIT + 7
    assert await kept(few) == LIMIT + 7
    assert counted.get() - before == 7
    assert await paused_partitions(few.pool) == []


async def test_a_flood_after_a_half_that_is_applied_already_loses_nothing(few: Database, topic: str) -> None:
    """The first half is committed when the second meets the limit."""
    unit = Unit(few, topic)
    unit.send("good", 10)
    unit.send("refused", LIMIT + 5)
    fails = dataclasses.replace(unit.records[2])
    fails.value = (fails.value or b"").replace(b'"good 2"', b'"good\\u00002"')
    unit.records[2] = fails
    with pytest.raises(PartitionPaused):
        await unit.read()
    assert await kept(few) == LIMIT
    assert await unit.signed() == [f"good {n}" for n in range(10) if n != 2]
