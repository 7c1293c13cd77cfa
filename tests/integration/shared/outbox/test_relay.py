"""The relay against a real broker: every committed event arrives, in order per key."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from deploy.local.pair import Pair
from harness.schema import make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.routing import CaseOffered, CaseTriaged, DeliverySucceeded
from shared.kafka import client as kafka
from shared.kafka.client import Producer, Reader, RecordMetadata
from shared.kafka.records import RawRecord
from shared.metrics import PAUSED
from shared.outbox import paused_topics
from shared.outbox import relay as relays
from shared.outbox.relay import QUERIES, Relay
from shared.outbox.rows import BATCH_BYTES, BATCH_ROWS, Row
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

OFFER = CaseOffered(
    number="1", role="lead", lead="late", kind="help", service_code="x", visibility="public", attempt=1
)


@pytest.fixture
async def routing(database: str, namespace: str, pair: Pair) -> AsyncIterator[Database]:
    await make_topics(pair.access, namespace, ["water"])
    opened = await open_service_database(database, "routing", namespace=namespace, access=pair.access)
    yield opened
    await opened.pool.execute("TRUNCATE aggregate, outbox, outbox_aside")
    await opened.close()


async def write(database: Database, subject: str, count: int = 1) -> None:
    for _ in range(count):
        async with database.transaction([subject]) as tx:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=subject)


async def read_all(pair: Pair, topic: str, seconds: float = 5) -> list[RawRecord]:
    """Everything on the topic at this moment."""
    reader = Reader(pair.access, "test", [topic])
    await reader.start({})
    try:
        missing = sum((await reader.ends()).values())
        found: list[RawRecord] = []
        async with asyncio.timeout(seconds):
            while len(found) < missing:
                found.extend(await reader.read(1000, 200))
        return found
    finally:
        await reader.stop()


async def drain(database: Database, *relays: Relay) -> None:
    async with asyncio.timeout(30):
        while await database.pool.fetchval("SELECT count(*) FROM outbox"):
            for relay in relays:
                await relay.once()


def sequences(records: list[RawRecord], subject: str) -> list[int]:
    mine = [record for record in records if record.key == subject.encode()]
    return [int(orjson.loads(record.value or b"")["sequence"]) for record in mine]


async def test_what_was_committed_arrives_in_order_per_key(
    routing: Database, pair: Pair, namespace: str
) -> None:
    keys = [f"key-{n}" for n in range(10)]
    await asyncio.gather(*(write(routing, key, 20) for key in keys))
    relay = Relay(routing, Producer(pair.access, "test"))
    await drain(routing, relay)
    records = await read_all(pair, topic_name(namespace, "routing"))
    assert {key: sequences(records, key) for key in keys} == {key: list(range(1, 21)) for key in keys}
    await stop(relay)


async def stop(relay: Relay) -> None:
    await relay._release()
    await relay._producer.stop()


async def test_a_topic_that_is_missing_blocks_only_itself_and_keeps_its_order(
    routing: Database, pair: Pair, namespace: str
) -> None:
    for _ in range(3):
        async with routing.transaction(["case"]) as tx:
            tx.emit(OFFER, subject="case", unit="late")
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="case")
    delivered: list[tuple[Row, RecordMetadata]] = []

    async def keep(tx: Tx, rows: object) -> None:
        for row, at in rows:  # type: ignore[attr-defined]
            delivered.append((row, at))
            tx.emit(
                DeliverySucceeded(
                    unit="late",
                    record=orjson.loads(row.delivery)["id"],
                    record_type="civic.department.case_offered.v1",
                    topic=row.topic,
                    partition=at.partition,
                    offset=at.offset,
                    hash="0" * 64,
                ),
                subject="case",
            )

    relay = Relay(
        routing,
        Producer(pair.access, "test"),
        on_delivered=keep,
        delivery_lock=lambda row: orjson.loads(row.delivery or "{}")["subject"],
    )
    await drain(routing, relay)
    assert relay.paused_topics == [topic_name(namespace, "department", "late")]
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox_aside") == 3
    await make_topics(pair.access, namespace, ["late"])
    async with routing.transaction(["case"]) as tx:
        tx.emit(OFFER, subject="case", unit="late")
    async with asyncio.timeout(30):
        while relay.paused_topics or await routing.pool.fetchval("SELECT count(*) FROM outbox"):
            await relay.once()
    records = await read_all(pair, topic_name(namespace, "department", "late"))
    assert sequences(records, "case") == [1, 2, 3, 4]
    assert [at.offset for _, at in delivered] == [0, 1, 2, 3]
    own = await read_all(pair, topic_name(namespace, "routing"))
    assert sequences(own, "case") == list(range(1, 8))
    await stop(relay)


async def test_a_topic_that_is_never_acknowledged_blocks_only_itself(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a topic without a leader or with too few replicas the client retries forever, silently."""
    monkeypatch.setattr(kafka, "_PUBLISH_SECONDS", 2)
    monkeypatch.setattr(relays, "_RETRY_TIMEOUT_SECONDS", 2)
    topic = topic_name(namespace, "department", "water")
    refusing = True
    send_batch = AIOKafkaProducer.send_batch

    async def refuse(producer: AIOKafkaProducer, batch: Any, to: str, *, partition: int) -> Any:
        if to == topic and refusing:
            return asyncio.get_running_loop().create_future()
        return await send_batch(producer, batch, to, partition=partition)

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", refuse)
    async with routing.transaction(["case"]) as tx:
        for _ in range(3):
            tx.emit(OFFER, subject="case", unit="water")
    one = Relay(routing, Producer(pair.access, "test"))
    async with asyncio.timeout(30):
        # It fills the batches: a second failure, while the broker answers, shows that the topic is at fault.
        while not one.paused_topics:
            assert await one.once() == 0
    await write(routing, "other", 5)
    await drain(routing, one)
    assert one.paused_topics == [topic]
    assert PAUSED.labels(topic)._value.get() == 3
    assert len(sequences(await read_all(pair, topic_name(namespace, "routing")), "other")) == 5
    refusing = False
    async with asyncio.timeout(30):
        while one.paused_topics:
            await one.once()
    assert sequences(await read_all(pair, topic), "case") == [1, 2, 3]
    assert PAUSED.labels(topic)._value.get() == 0
    await stop(one)


async def test_a_topic_that_fails_while_another_is_accepted_is_paused_at_once(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that the broker accepted meanwhile are deleted, even if it is away a moment later."""
    monkeypatch.setattr(kafka, "_PUBLISH_SECONDS", 2)
    topic = topic_name(namespace, "department", "water")
    send_batch = AIOKafkaProducer.send_batch

    async def refuse(producer: AIOKafkaProducer, batch: Any, to: str, *, partition: int) -> Any:
        if to == topic:
            return asyncio.get_running_loop().create_future()
        return await send_batch(producer, batch, to, partition=partition)

    async def away() -> None:
        raise KafkaConnectionError

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", refuse)
    async with routing.transaction(["both"]) as tx:
        tx.emit(OFFER, subject="both", unit="water")
        tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject="both")
    one = Relay(routing, producer := Producer(pair.access, "test"))
    with monkeypatch.context() as broken, pytest.raises(KafkaConnectionError):
        broken.setattr(producer, "renew", away)
        await one.once()
    assert [row["topic"] for row in await routing.pool.fetch("SELECT topic FROM outbox")] == [topic]
    await write(routing, "more")
    await one.once()
    assert one.paused_topics == [topic]
    await stop(one)


async def test_a_publish_batch_reads_no_more_rows_than_it_can_hold(
    routing: Database, pair: Pair, namespace: str
) -> None:
    """A backlog of long texts must not be read whole for every batch, only to send a part of it."""
    topic = topic_name(namespace, "routing")
    await routing.pool.execute(
        "INSERT INTO outbox (topic, key, value) SELECT $1, n::text, convert_to(repeat('x', $2), 'UTF8')"
        " FROM generate_series(1, 100) n",
        topic,
        BATCH_BYTES // 10,
    )
    rows = await routing.pool.fetch(
        QUERIES["take_batch"], list(range(relays.SHARDS)), BATCH_ROWS, BATCH_BYTES
    )
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert len(rows) == 11  # the last one begins within
    one = Relay(routing, Producer(pair.access, "test"))
    await drain(routing, one)
    await stop(one)


async def test_relays_share_the_shards_and_take_over_those_of_a_dead_one(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_SHARE_SECONDS", 0.0)
    first, second, third = (Relay(routing, Producer(pair.access, "test")) for _ in range(3))
    await first.once()
    assert len(first._shards) == 16
    keys = [f"shared-{n}" for n in range(30)]
    for some in ([first, second], [first, second, third]):
        await asyncio.gather(*(write(routing, key, 5) for key in keys))
        await drain(routing, *some)
        for one in some:
            await one.once()
        owned = [shard for one in some for shard in one._shards]
        assert sorted(owned) == list(range(16))
        assert max(len(one._shards) for one in some) == -(-16 // len(some))
    await first._release()
    await asyncio.gather(*(write(routing, key, 5) for key in keys))
    await drain(routing, second, third)
    assert sorted(second._shards + third._shards) == list(range(16))
    records = await read_all(pair, topic_name(namespace, "routing"))
    assert {key: sequences(records, key) for key in keys} == {key: list(range(1, 16)) for key in keys}
    for one in (first, second, third):
        await stop(one)


async def test_paused_rows_move_with_their_shard(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the new owner would send newer rows first."""
    monkeypatch.setattr(relays, "_SHARE_SECONDS", 0.0)
    topic = topic_name(namespace, "department", "missing")
    cases = [f"case-{n}" for n in range(40)]
    async with routing.transaction(cases) as tx:
        for case in cases:
            tx.emit(OFFER, subject=case, unit="missing")
    first, second = (Relay(routing, Producer(pair.access, "test")) for _ in range(2))
    await drain(routing, first)
    await second.once()
    await first.once()
    await second.once()
    assert first.paused_topics == second.paused_topics == [topic]
    assert 0 < second._paused.events[topic] < 40
    assert first._paused.events[topic] + second._paused.events[topic] == 40
    for one in (first, second):
        await stop(one)


async def test_a_relay_whose_session_was_cut_goes_on_with_a_new_one(
    routing: Database, pair: Pair, namespace: str
) -> None:
    relay = Relay(routing, Producer(pair.access, "test"))
    running = asyncio.create_task(relay.run())
    try:
        for _ in range(5):
            await write(routing, "cut", 10)
            await routing.pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%owner'"
                " AND datname = current_database()"
            )
        async with asyncio.timeout(30):
            while await routing.pool.fetchval("SELECT count(*) FROM outbox"):
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    found = sequences(await read_all(pair, topic_name(namespace, "routing")), "cut")
    first_of_each = list(dict.fromkeys(found))
    assert first_of_each == list(range(1, 51))
    await relay._producer.stop()


@contextlib.asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    """The relay at work, as in a service."""
    task = asyncio.create_task(relay.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await relay._producer.stop()


async def gone(database: Database, topic: str) -> None:
    while await database.pool.fetchval("SELECT count(*) FROM outbox WHERE topic = $1", topic):
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("recorded", [False, True])
async def test_what_cannot_be_deleted_is_not_sent_again(
    routing: Database, pair: Pair, namespace: str, recorded: bool
) -> None:
    """A full disk refuses writes and answers reads: each look would find the same rows and send them."""
    unit, deliveries = topic_name(namespace, "department", "water"), 0

    async def count(_: Tx, rows: Any) -> None:
        nonlocal deliveries
        deliveries += len(rows)

    more: dict[str, Any] = {"on_delivered": count, "delivery_lock": lambda row: row.key} if recorded else {}
    before = len(await read_all(pair, unit))
    await routing.pool.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END$$;"
        "CREATE TRIGGER full_disk BEFORE DELETE ON outbox EXECUTE FUNCTION full_disk()"
    )
    try:
        async with running(relay := Relay(routing, Producer(pair.access, "test"), **more)):
            for number in range(3):
                async with routing.transaction([f"full-{number}"]) as tx:
                    tx.emit(OFFER, subject=f"full-{number}", unit="water")
                await asyncio.sleep(0.5)
            kept = len(relay._shards)
            await routing.pool.execute("DROP FUNCTION full_disk CASCADE")
            async with asyncio.timeout(20):
                await gone(routing, unit)
    finally:
        await routing.pool.execute("DROP FUNCTION IF EXISTS full_disk CASCADE")
    assert len(await read_all(pair, unit)) == before + 3
    assert deliveries == (3 if recorded else 0)
    assert kept == relays.SHARDS


async def test_a_shard_that_was_lost_with_rows_not_deleted_is_left_to_its_owner(
    routing: Database, pair: Pair, namespace: str
) -> None:
    """What it sent stays to be sent by the owner, and a late deletion must not take it."""
    one, other = (Relay(routing, Producer(pair.access, "test")) for _ in range(2))
    await write(routing, "left", 3)
    session = await one._own_shards()
    rows = [
        Row(*row) for row in await session.fetch(QUERIES["take_batch"], one._shards, BATCH_ROWS, BATCH_BYTES)
    ]
    one._undeleted.append(relays._Acknowledged([(row, RecordMetadata(0, 0)) for row in rows], "delete_sent"))
    session.terminate()
    async with asyncio.timeout(20):
        while len(other._shards) < relays.SHARDS:
            other._last_share = 0.0
            await other._own_shards()
    await one.once()
    assert one._undeleted == []
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 3
    await drain(routing, other)
    records = await read_all(pair, topic_name(namespace, "routing"))
    assert sequences(records, "left") == [1, 2, 3]
    for relay in (one, other):
        await stop(relay)


async def test_a_topic_that_does_not_answer_its_retry_delays_no_other(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paused_topics, "_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(relays, "_RETRY_TIMEOUT_SECONDS", 60)
    topic = topic_name(namespace, "department", "water")
    retried = asyncio.Event()
    send_batch = AIOKafkaProducer.send_batch

    async def refuse(producer: AIOKafkaProducer, batch: Any, to: str, *, partition: int) -> Any:
        if to != topic:
            return await send_batch(producer, batch, to, partition=partition)
        retried.set()
        return asyncio.get_running_loop().create_future()

    monkeypatch.setattr(AIOKafkaProducer, "send_batch", refuse)
    relay = Relay(routing, Producer(pair.access, "test"))
    async with routing.transaction(["waits"]) as tx:
        tx.emit(OFFER, subject="waits", unit="water")
    await routing.pool.execute(
        "WITH moved AS (DELETE FROM outbox RETURNING *) INSERT INTO outbox_aside SELECT * FROM moved"
    )
    async with running(relay), asyncio.timeout(20):
        await retried.wait()
        for _ in range(3):
            await write(routing, "goes-on", 5)
            await gone(routing, topic_name(namespace, "routing"))
        assert relay.paused_topics == [topic]
        assert PAUSED.labels(topic)._value.get() == 1
    found = sequences(await read_all(pair, topic_name(namespace, "routing")), "goes-on")
    assert found == list(range(1, 16))


async def test_a_pile_of_a_paused_topic_is_sent_in_order_beside_the_others(
    routing: Database, pair: Pair, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer rows of it keep coming, and move behind those that wait."""
    for module in (relays, paused_topics):
        monkeypatch.setattr(module, "BATCH_ROWS", 20)
    monkeypatch.setattr(paused_topics, "_RETRY_SECONDS", 0.0)
    topic = topic_name(namespace, "department", "pile")
    cases = [f"pile-{number}" for number in range(12)]

    async def offer(times: int) -> None:
        for _ in range(times):
            async with routing.transaction(cases) as tx:
                for case in cases:
                    tx.emit(OFFER, subject=case, unit="pile")

    await offer(10)
    async with running(relay := Relay(routing, Producer(pair.access, "test"))), asyncio.timeout(40):
        while await routing.pool.fetchval("SELECT count(*) FROM outbox_aside") < 120:
            await asyncio.sleep(0.02)
        await make_topics(pair.access, namespace, ["pile"])
        await offer(10)
        while relay.paused_topics or await routing.pool.fetchval("SELECT count(*) FROM outbox"):
            await asyncio.sleep(0.02)
    records = await read_all(pair, topic)
    assert {case: sequences(records, case) for case in cases} == {key: list(range(1, 21)) for key in cases}
