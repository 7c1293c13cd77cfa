"""The fence: a service whose database is older than its own topic writes and sends nothing."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson
import pytest

from deploy.local.pair import Pair
from deploy.local.ports import free_port
from harness.schema import SECRET, make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseTriaged
from shared.infrastructure import DatabaseBehind
from shared.kafka.client import Producer, Reader, read_until
from shared.kafka.records import RawRecord
from shared.kafka_access import KafkaAccess
from shared.outbox.fence import Fence, HistoryReplaced
from shared.outbox.relay import Relay
from shared.service import Parts, Service
from shared.unit_of_work.database import Database

TABLES = ("aggregate", "outbox", "sent_mark")


@pytest.fixture
async def routing(database: str, pair: Pair) -> AsyncIterator[Database]:
    """Routing with topics of its own for each test: what is on them stays."""
    routing.number = getattr(routing, "number", 0) + 1  # type: ignore[attr-defined]
    namespace = f"{database.rpartition('_')[2]}f{routing.number}"  # type: ignore[attr-defined]
    await make_topics(pair.access, namespace, [], only="routing")
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    await opened.pool.execute(f"TRUNCATE {', '.join(TABLES)}")
    yield opened
    await opened.pool.execute("UPDATE epoch SET epoch = 1, restoring = false")
    await opened.close()


@asynccontextmanager
async def relay_of(database: Database, *, fenced: bool = True) -> AsyncIterator[Relay]:
    producer = Producer(database.settings.kafka, "test")
    relay = Relay(database, producer, fence=Fence(database) if fenced else None)
    try:
        yield relay
    finally:
        await relay._release()
        await producer.stop()


async def write(database: Database, *subjects: str) -> None:
    for subject in subjects:
        async with database.transaction([subject]) as tx:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=subject)


async def send_all(database: Database, relay: Relay) -> None:
    async with asyncio.timeout(30):
        while await database.pool.fetchval("SELECT count(*) FROM outbox"):
            await relay.once()


async def say(database: Database, *subjects: str) -> None:
    await write(database, *subjects)
    async with relay_of(database) as relay:
        await send_all(database, relay)


async def back_up(database: Database) -> None:
    for table in TABLES:
        await database.pool.execute(
            f"DROP TABLE IF EXISTS kept_{table}; CREATE TABLE kept_{table} AS SELECT * FROM {table}"
        )


async def put_back(database: Database) -> None:
    for table in TABLES:
        override = "OVERRIDING SYSTEM VALUE" if table == "outbox" else ""
        columns = "id, topic, key, value, words, delivery" if table == "outbox" else "*"
        names = f"({columns})" if table == "outbox" else ""
        await database.pool.execute(
            f"TRUNCATE {table}; INSERT INTO {table} {names} {override} SELECT {columns} FROM kept_{table}"
        )


async def records_of(database: Database) -> list[RawRecord]:
    reader = Reader(database.settings.kafka, "test", [own_topic(database)])
    await reader.start({})
    try:
        return [record async for batch in read_until(reader, await reader.ends()) for record in batch]
    finally:
        await reader.stop()


def own_topic(database: Database) -> str:
    return topic_name(database.settings.topic_namespace, "routing")


def forks(records: list[RawRecord]) -> list[tuple[object, ...]]:
    """The places that have two different events."""
    values: defaultdict[tuple[object, ...], set[bytes]] = defaultdict(set)
    for record in records:
        event = orjson.loads(record.value or b"")
        place = (event["source"], event["subject"], event["epoch"], event["sequence"])
        values[place].add(record.value or b"")
    return [place for place, found in values.items() if len(found) > 1]


async def forget(database: Database) -> None:
    """A case is mentioned, the backup taken, the case mentioned again, and the backup put back."""
    await say(database, "case", "other")
    await back_up(database)
    await say(database, "case")
    await put_back(database)


async def test_a_restored_database_sends_nothing_and_names_the_command(routing: Database) -> None:
    await forget(routing)
    before = await records_of(routing)
    await write(routing, "case", "new")  # before the first contact with Kafka it is not known yet
    async with relay_of(routing) as relay:
        with pytest.raises(DatabaseBehind, match="civicloom restore"):
            await relay.once()
    assert await records_of(routing) == before
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 2
    with pytest.raises(DatabaseBehind, match="older than"):
        await write(routing, "case")


async def test_without_the_fence_one_place_gets_two_events(routing: Database) -> None:
    """The control: this is what the fence prevents."""
    await forget(routing)
    await write(routing, "case")
    async with relay_of(routing, fenced=False) as relay:
        await send_all(routing, relay)
    assert forks(await records_of(routing)) == [("/services/routing", "case", 1, "0000000002")]


async def test_an_old_event_at_the_end_does_not_hide_a_forgotten_one(routing: Database) -> None:
    """A copy whose delete failed sends old rows again: they may be the last ones of their partition."""
    await forget(routing)
    old = next(record for record in await records_of(routing) if record.key == b"case")
    producer = Producer(routing.settings.kafka, "test")
    for _ in range(3):
        await producer.publish([(old.topic, b"case", old.value or b"", None)])
    await producer.stop()
    async with relay_of(routing) as relay:
        with pytest.raises(DatabaseBehind):
            await relay.once()


async def test_the_comparison_begins_where_the_database_last_knew_the_topic(routing: Database) -> None:
    await say(routing, *(f"case-{n}" for n in range(30)))
    async with relay_of(routing) as relay:
        fence = relay._fence
        assert fence is not None
        await relay.once()
        marking = asyncio.create_task(fence.run())
        while not fence._marks:
            await asyncio.sleep(0.02)
        relay._last_share = 0
        await relay.once()
        marking.cancel()
        await asyncio.gather(marking, return_exceptions=True)
    marks = dict(await routing.pool.fetch("SELECT partition, next_offset FROM sent_mark"))
    ends: dict[int, int] = {}
    for record in await records_of(routing):
        ends[record.partition] = record.offset + 1
    assert {number: offset for number, offset in marks.items() if offset} == ends
    # What the tables do not know before the mark is not asked for: its backup has committed it.
    await routing.pool.execute("DELETE FROM aggregate")
    async with relay_of(routing) as relay:
        await relay.once()


async def test_bytes_that_routing_has_not_written_are_no_proof(routing: Database) -> None:
    await say(routing, "case")
    (real,) = await records_of(routing)
    forged = (real.value or b"").replace(b'"subject":"case"', b'"subject":"forged"')
    foreign = forged.replace(b'"source":"/services/routing"', b'"source":"/services/inquiry"')
    poison = forged.replace(b'"data":{', b'"data":{"reason":7,"x":{').replace(b"}}", b"}}}")
    producer = Producer(routing.settings.kafka, "test")
    rows = [(real.topic, b"x", value, None) for value in (b"noise", b"\xff\x00", foreign, poison)]
    await producer.publish(rows)
    await producer.stop()
    await say(routing, "case")


async def test_a_database_replaced_under_a_running_relay_ends_it(routing: Database) -> None:
    """As a fail-over to a standby that was behind: everything that the process remembers is wrong."""
    await say(routing, "case")
    await back_up(routing)
    async with relay_of(routing) as relay:
        await write(routing, "case")
        await send_all(routing, relay)
        await put_back(routing)
        assert relay._session is not None
        relay._session.terminate()
        with pytest.raises(HistoryReplaced, match="older than"):
            await asyncio.wait_for(relay.run(), 20)


async def test_a_restore_that_begins_ends_a_running_relay(routing: Database) -> None:
    await say(routing, "case")
    async with relay_of(routing) as relay:
        await relay.once()
        await routing.pool.execute("UPDATE epoch SET restoring = true")
        with pytest.raises(HistoryReplaced, match="civicloom restore"):
            await asyncio.wait_for(relay.run(), 20)


async def test_a_database_whose_restore_has_begun_takes_nothing(routing: Database, database: str) -> None:
    """Not even a command of an operator, which asks no broker."""
    await routing.pool.execute("UPDATE epoch SET restoring = true")
    opened = await open_service_database(database, "routing")
    with pytest.raises(DatabaseBehind, match="civicloom restore"):
        await write(opened, "case")
    await opened.close()


async def test_without_a_broker_people_can_write_and_nothing_acts(
    database: str, routing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written then has a number that a restore can still change, since it was not sent."""
    monkeypatch.setenv("SECRET_KEY", SECRET)
    away = await open_service_database(database, "routing", access=KafkaAccess(f"127.0.0.1:{free_port()}"))
    acted = asyncio.Event()

    async def act() -> None:
        acted.set()

    service = Service(away, Parts("Routing", routers=[], loops=[act]))
    running = asyncio.create_task(service.run_loops())
    await write(away, "case")
    await asyncio.sleep(0.5)
    assert not acted.is_set()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await away.close()


async def test_a_service_on_a_restored_database_is_not_ready(
    routing: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    await forget(routing)
    acted = asyncio.Event()

    async def act() -> None:
        acted.set()

    service = Service(routing, Parts("Routing", routers=[], loops=[act]))
    running = asyncio.create_task(service.run_loops())
    async with asyncio.timeout(20):
        while routing.refusal is None:
            await asyncio.sleep(0.02)
    transport = httpx.ASGITransport(service.web())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "civicloom restore" in answer.json()["not_ready"]["restore"]
    assert not acted.is_set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
