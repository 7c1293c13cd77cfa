"""Consumer and relay together over a real broker."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import AssignmentSigned, CaseTriaged, SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox import dead_client
from shared.inbox.consumer import Consumer
from shared.inbox.floods import resume
from shared.inbox.handlers import Handlers, Refused, Results
from shared.kafka.client import Producer
from shared.outbox.relay import Relay
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.foreign import send_with_header
from tests.waiting import running, until


@pytest.fixture
async def writer(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.access, namespace, ["water"])
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.close()


@pytest.fixture
async def reader(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    opened = await open_service_database(database, "inquiry", namespace=namespace, access=pair.access)
    await opened.pool.execute("CREATE TABLE IF NOT EXISTS applied (n serial, subject text, sequence int)")
    yield opened
    await opened.close()


def counting() -> Handlers:
    handlers = Handlers()

    @handlers.on(CaseTriaged)
    async def count(tx: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
        await tx.connection.execute(
            "INSERT INTO applied (subject, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in events],
            [int(event.event.sequence or 0) for event in events],
        )
        return None

    return handlers


async def emit(database: Database, keys: int, each: int) -> None:
    for _ in range(each):
        async with database.transaction([f"k{n}" for n in range(keys)]) as tx:
            for n in range(keys):
                tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=f"k{n}")
                tx.emit(AssignmentSigned(unit="water", role="lead", action="a"), subject=f"k{n}")


async def test_events_flow_from_one_service_to_another_once_and_in_order(
    writer: Database, reader: Database, pair: Pair, namespace: str
) -> None:
    relay = Relay(writer, Producer(pair.access, "test"))
    consumer = Consumer(reader, counting(), name="toy", topics=[topic_name(namespace, "routing")])
    async with running(relay.run, consumer.run):
        await emit(writer, keys=20, each=10)

        async def all_there() -> bool:
            return bool(await reader.pool.fetchval("SELECT count(*) FROM applied") == 200)

        await until(all_there)
        rows = await reader.pool.fetch(
            "SELECT subject, array_agg(sequence ORDER BY n) s FROM applied GROUP BY 1"
        )
        assert {row["subject"]: row["s"] for row in rows} == {
            f"k{n}": list(range(1, 20, 2)) for n in range(20)
        }

        async def caught_up() -> bool:
            return consumer.lag() == 0

        await until(caught_up)

    # Again from the beginning for Kafka, with a second copy beside it: the cursors know better.
    second = Consumer(reader, counting(), name="toy", topics=[topic_name(namespace, "routing")])
    async with running(consumer.run, second.run, relay.run):
        await emit(writer, keys=20, each=5)

        async def more() -> bool:
            return bool(await reader.pool.fetchval("SELECT count(*) FROM applied") >= 300)

        await until(more)
    assert await reader.pool.fetchval("SELECT count(*) FROM applied") == 300
    assert (
        await reader.pool.fetchval("SELECT count(*) FROM (SELECT DISTINCT subject, sequence FROM applied) a")
        == 300
    )
    await relay._producer.stop()


@pytest.mark.parametrize("trouble", ["ended", "failing"])
async def test_a_client_that_has_stopped_reading_is_replaced(
    writer: Database, reader: Database, namespace: str, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(dead_client, "FAILING_SECONDS", 1.0)
    relay = Relay(writer, Producer(writer.settings.kafka, "test"))
    consumer = Consumer(reader, counting(), name=trouble, topics=[topic_name(namespace, "routing")])
    await reader.pool.execute("TRUNCATE applied, aggregate")

    async def at_rest() -> bool:
        return consumer.lag() == 0

    async with running(relay.run, consumer.run):
        await until(at_rest)
        client = consumer._client
        if trouble == "ended":
            client._coordinator._coordination_task.cancel()
        else:

            async def fails(*_: object, **__: object) -> None:
                raise KafkaError

            client._fetcher.fetched_records = fails

        async def another() -> bool:
            return consumer._client is not None and consumer._client is not client

        await until(another)
        async with writer.transaction([trouble]) as tx:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=trouble)

        async def read() -> bool:
            return bool(await reader.pool.fetchval("SELECT true FROM applied WHERE subject = $1", trouble))

        await until(read)
    await relay._producer.stop()


async def test_a_surplus_replica_is_ready(
    writer: Database, reader: Database, pair: Pair, namespace: str
) -> None:
    topic = topic_name(namespace, "department", "water")
    copies = [Consumer(reader, counting(), name="many", topics=[topic]) for _ in range(5)]
    async with running(*(copy.run for copy in copies)):

        async def all_know() -> bool:
            return all(copy.lag() == 0 for copy in copies)

        await until(all_know)
        assert not all(copy._client.assignment() for copy in copies)


async def test_a_pattern_finds_units_topics_that_are_made_later(
    writer: Database, reader: Database, pair: Pair, namespace: str
) -> None:
    seen: list[str] = []
    handlers = Handlers()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        seen.extend(event.event.source for event in events)
        return None

    consumer = Consumer(
        reader, handlers, name="toy.actions", pattern=rf"^{namespace}\.department\.[a-z0-9-]+\.actions\.v1$"
    )
    async with running(consumer.run):
        await make_topics(pair.access, namespace, ["new"])
        producer = Producer(pair.access, "unit")
        topic = topic_name(namespace, "actions", "new")
        value = (
            b'{"specversion":"1.0","id":"a-1","source":"/liar","type":"civic.action.sign.v1","subject":"case-1",'
            b'"time":"2026-11-24T08:00:00Z","data":{}}'
        )
        await until(lambda: _is_there(producer, topic))
        for _ in range(2):
            await producer.publish([(topic, b"case-1", value, None)])

        async def both_read() -> bool:
            return consumer.lag() == 0 and bool(seen)

        await until(both_read)
        await producer.stop()
    assert seen == [topic]


async def test_a_units_flood_pauses_its_own_partition_and_no_other(
    writer: Database, database: str, pair: Pair, namespace: str
) -> None:
    reader = await open_service_database(
        database, "inquiry", namespace=namespace, access=pair.access, bad_records_per_minute=5
    )
    handlers, signed = Handlers(), list[str]()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        bad = [event.event.id.startswith("bad") for event in events]
        signed.extend(event.event.id for event, is_bad in zip(events, bad, strict=True) if not is_bad)
        return [Refused() if is_bad else None for is_bad in bad]

    await make_topics(pair.access, namespace, ["flooding", "quiet"])
    flooding, quiet = (topic_name(namespace, "actions", unit) for unit in ("flooding", "quiet"))
    consumer = Consumer(reader, handlers, name="toy.floods", topics=[flooding, quiet])
    producer = Producer(pair.access, "unit")
    junk = [(flooding, b"k", signing(f"bad-{number}"), None) for number in range(12)]

    async def read_up_to() -> int | None:
        return await reader.pool.fetchval("SELECT next_offset FROM cursor WHERE topic = $1", flooding)

    async with running(consumer.run):
        await producer.publish([*junk, (flooding, b"k", signing("late"), None)])
        await until(lambda: consumer.paused.topics == [flooding], "the partition is paused")
        await producer.publish([(quiet, b"k", signing("other"), None)])
        await until(lambda: "other" in signed, "the other unit's action is applied")
        assert await read_up_to() == 5
        assert (flooding, 0) in consumer.paused
        # It is read on from its cursor, and floods again: a second time, and then no more.
        for expected in (10, 13):
            # The pause is kept a moment after the cursor.
            assert await until(lambda: resume(reader.pool, flooding), "the pause is kept") == 1

            async def read_on() -> bool:
                return await read_up_to() == expected  # noqa: B023  (awaited in this turn)

            await until(read_on)
        await until(lambda: not consumer.paused.topics, "nothing is paused")
    await producer.stop()
    await reader.close()
    # A batch that is cut at the limit runs its handlers again.
    assert set(signed) == {"late", "other"}


async def test_a_header_name_that_is_no_text_keeps_nobody_from_what_stands_behind_it(
    writer: Database, reader: Database, pair: Pair, namespace: str
) -> None:
    handlers, seen = Handlers(), list[str]()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        seen.extend(event.event.id for event in events)
        return None

    topic = topic_name(namespace, "actions", "water")
    consumer = Consumer(reader, handlers, name="toy.foreign", topics=[topic])
    async with AIOKafkaProducer(**pair.access.options()) as producer, running(consumer.run):
        await send_with_header(producer, topic, b"case-1", signing("a-1"), b"\xff\xfe\x00name")
        await producer.send_and_wait(topic, signing("a-2"), key=b"case-1", partition=0)

        async def both() -> bool:
            return len(seen) == 2

        await until(both)
    assert seen == ["a-1", "a-2"]


def signing(id_: str) -> bytes:
    return (
        f'{{"specversion":"1.0","id":"{id_}","source":"/unit","type":"civic.action.sign.v1","subject":"case-1",'
        '"time":"2026-11-24T08:00:00Z","data":{}}'
    ).encode()


async def _is_there(producer: Producer, topic: str) -> bool:
    return topic in await producer.partitions({topic: 1})
