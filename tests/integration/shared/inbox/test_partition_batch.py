"""PartitionBatchProcessor against a real PostgreSQL: once, in order, faults parked with their key."""

import asyncio
import dataclasses
from typing import Any

import asyncpg
import orjson
import pytest

from shared.contracts.inquiry import InquiryReceived
from shared.contracts.routing import CaseTriaged
from shared.errors import Permanent
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import MAX_ATTEMPTS, Parking
from shared.inbox.partition_batch import OffsetGap, PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import Source

POISON = "毒"


def counting() -> Handlers:
    """Writes a row and an event per event; the database refuses where the title says so."""
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        await tx.connection.execute(
            "INSERT INTO applied (subject, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in events],
            [1 // (event.words.title != POISON) for event in events],  # type: ignore[union-attr]
        )
        for event in events:
            tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=event.subject, cause=event)
        return None

    return handlers


async def applied(database: Database) -> list[str]:
    return [row["subject"] for row in await database.pool.fetch("SELECT subject FROM applied ORDER BY n")]


async def test_a_batch_is_applied_once_however_often_it_is_delivered(
    routing: Database, source: Source
) -> None:
    for _ in range(20):
        source.received()
    batches = PartitionBatchProcessor(routing, "toy", counting())
    for _ in range(3):
        assert await batches.process(source.records) == 20
    assert sorted(await applied(routing)) == sorted(r.key.decode() for r in source.records if r.key)
    assert await routing.pool.fetchval("SELECT count(*) FROM outbox") == 20


async def test_an_event_sent_twice_under_a_new_offset_is_applied_once(
    routing: Database, source: Source
) -> None:
    first = source.received()
    source.add(first.value or b"", first.header("words"), "again")
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 1


async def test_several_events_of_one_subject_are_applied_in_order(routing: Database, source: Source) -> None:
    subject = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    for _ in range(5):
        source.received(subject)
        source.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    sequences = await routing.pool.fetchval(
        "SELECT sequences->>'/services/inquiry' FROM aggregate WHERE id = $1", subject
    )
    assert int(sequences) == 10**10 + 5
    own = await routing.pool.fetch("SELECT value FROM outbox WHERE key = $1 ORDER BY id", subject)
    assert [b'"sequence":"000000000%d"' % n in row["value"] for n, row in enumerate(own, 1)] == [True] * 5


async def test_two_owners_of_a_partition_apply_it_once(routing: Database, source: Source) -> None:
    for _ in range(200):
        source.received()
    batches = PartitionBatchProcessor(routing, "toy", counting())
    await asyncio.gather(*(batches.process(source.records) for _ in range(4)))
    assert len(await applied(routing)) == 200


async def test_a_batch_that_begins_after_the_cursor_is_refused(routing: Database, source: Source) -> None:
    for _ in range(10):
        source.received()
    batches = PartitionBatchProcessor(routing, "toy", counting())
    await batches.process(source.records[:3])
    with pytest.raises(OffsetGap) as refusal:
        await batches.process(source.records[5:])
    assert refusal.value.next_offset == 3
    assert len(await applied(routing)) == 3


async def test_a_lost_cursor_is_not_replaced_by_kafkas_committed_offset(
    routing: Database, source: Source
) -> None:
    """The first batch may start at Kafka's committed offset, which is only for display."""
    for _ in range(10):
        source.received()
    batches = PartitionBatchProcessor(routing, "toy", counting())
    with pytest.raises(OffsetGap) as refusal:
        await batches.process(source.records[5:])
    assert refusal.value.next_offset == 0
    await batches.process(source.records)
    assert len(await applied(routing)) == 10


async def test_offsets_without_a_record_are_passed(routing: Database, source: Source) -> None:
    """A transaction marker, an aborted record, what compaction took: the cursor goes over them."""
    batches = PartitionBatchProcessor(routing, "toy", counting())
    for _ in range(3):
        source.received()
    source.records[2].offset = 5
    assert await batches.process(source.records[:2], start=0, next_offset=4) == 4
    assert await batches.pass_offsets(source.topic, 0, start=4, next_offset=5) == 5
    assert await batches.process(source.records[2:], start=5, next_offset=9) == 9
    assert await batches.pass_offsets(source.topic, 0, start=5, next_offset=7) == 9
    assert len(await applied(routing)) == 3
    with pytest.raises(OffsetGap):
        await batches.pass_offsets(source.topic, 0, start=10, next_offset=11)
    row = await routing.pool.fetchrow("SELECT next_offset, last_offset FROM cursor")
    assert row is not None
    assert tuple(row) == (9, 5)


async def test_a_truncated_log_is_read_again_and_parked_events_stay_first(
    routing: Database, source: Source
) -> None:
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    for title in ("one", POISON, "three"):
        source.received(bad, title=title)
    batches = PartitionBatchProcessor(routing, "toy", counting())
    cursor = await batches.process(source.records)
    for _ in range(2):
        await batches.reset_cursor(source.topic, 0, cursor=cursor, begin=0, end=2)
        # The third was lost, and another one has its offset.
        source.records[2:] = []
        source.received(bad)
        cursor = await batches.process(source.records)
    seen: list[str] = []
    mended = Handlers()

    @mended.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        seen.extend(event.event.sequence or "" for event in events)
        return None

    await routing.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
    assert await Parking(routing, "toy", mended).once() == 1
    assert [int(sequence) for sequence in seen] == [2, 3, 4, 5]


async def test_a_failing_event_parks_its_key_and_the_others_go_on(routing: Database, source: Source) -> None:
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(bad)
    source.received(bad, title=POISON)
    source.received(bad)
    for _ in range(20):
        source.received()
    batches = PartitionBatchProcessor(routing, "toy", counting())
    await batches.process(source.records)
    done = await applied(routing)
    assert done.count(bad) == 1
    assert len(done) == 21
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_event") == 2
    source.received(bad)
    await batches.process(source.records[-1:])
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_event") == 3
    assert (await applied(routing)).count(bad) == 1


async def test_a_parked_key_is_applied_in_order_once_its_fault_is_gone(
    routing: Database, source: Source
) -> None:
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(bad, title=POISON)
    source.received(bad)
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    seen: list[str] = []
    mended = Handlers()

    @mended.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        seen.extend(event.event.sequence or "" for event in events)
        return None

    await routing.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
    assert await Parking(routing, "toy", mended).once() == 1
    assert seen == ["0000000001", "0000000002"]
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0


async def test_after_the_last_try_a_key_is_a_dead_letter_and_says_so(
    routing: Database, source: Source
) -> None:
    source.received(title=POISON)
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    parking = Parking(routing, "toy", counting())
    for _ in range(MAX_ATTEMPTS):
        await routing.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
        await parking.once()
    assert await parking.measure() == (1, 1)
    row = await routing.pool.fetchrow("SELECT * FROM dead_letter")
    assert row is not None
    assert row["error"] == "ZeroDivisionError"
    assert row["attempts"] == MAX_ATTEMPTS
    assert row["value"] == source.records[0].value
    sent = await routing.pool.fetchval("SELECT value FROM outbox")
    assert b"civic.routing.deadletter_recorded.v1" in sent
    await routing.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
    assert await parking.once() == 0


async def test_bytes_that_are_no_event_are_kept_and_the_rest_goes_on(
    routing: Database, source: Source
) -> None:
    source.add(b"\xff\xfe\x00", None, "k")
    source.add(b"[1,2]", None, "k")
    source.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 1
    kept = await routing.pool.fetch("SELECT value, key, error FROM dead_letter ORDER BY id")
    assert [(row["value"], row["key"], row["error"]) for row in kept] == [
        (b"\xff\xfe\x00", None, "Undecodable")
    ]


async def test_all_unreadable_records_of_a_batch_are_one_dead_letter(
    routing: Database, source: Source
) -> None:
    for _ in range(300):
        source.add(b"junk")
        source.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 300
    rows = await routing.pool.fetch('SELECT "offset", last_offset, records, value FROM dead_letter')
    assert [tuple(row) for row in rows] == [(0, 598, 300, b"junk")]
    (sent,) = await routing.pool.fetch(
        "SELECT value FROM outbox WHERE convert_from(value, 'UTF8') LIKE '%deadletter_recorded%'"
    )
    data = orjson.loads(sent["value"])["data"]
    assert (data["offset"], data["last_offset"], data["records"]) == (0, 598, 300)


async def test_a_batch_of_bad_records_costs_a_statement_per_table(
    routing: Database, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead letters one statement after the other made one sender's flood everybody's wait."""
    statements: list[str] = []
    execute = asyncpg.Connection.execute

    async def counted(connection: asyncpg.Connection, query: str, *arguments: object, **more: Any) -> str:
        statements.append(query)
        return await execute(connection, query, *arguments, **more)

    monkeypatch.setattr(asyncpg.Connection, "execute", counted)
    for _ in range(90):
        source.received(replace_kind=(b'"complaint"', b'"gossip"'))
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert await routing.pool.fetchval("SELECT count(*) FROM dead_letter") == 90
    assert len(statements) < 20


async def test_an_event_with_wrong_data_is_a_dead_letter_and_its_key_waits(
    routing: Database, source: Source
) -> None:
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(bad, replace_kind=(b'"complaint"', b'"gossip"'))
    source.received(bad)
    source.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 1
    assert await routing.pool.fetchval("SELECT dead FROM parked_key WHERE key = $1", bad)
    assert await routing.pool.fetchval("SELECT detail FROM dead_letter") is not None
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_event") == 2


async def test_words_that_were_exchanged_are_refused(routing: Database, source: Source) -> None:
    record = source.received()
    forged = dataclasses.replace(
        record, headers=(("words", '{"salt":"x","title":"假","text":"假"}'.encode()),)
    )
    await PartitionBatchProcessor(routing, "toy", counting()).process([forged])
    assert await applied(routing) == []
    assert "wordshash" in await routing.pool.fetchval("SELECT detail FROM dead_letter")


async def test_an_unknown_type_is_skipped_and_a_newer_version_parks(
    routing: Database, source: Source
) -> None:
    newer = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(replace_type=(b"civic.inquiry.received.v1", b"civic.weather.changed.v1"))
    source.received(newer, replace_type=(b"civic.inquiry.received.v1", b"civic.inquiry.received.v2"))
    source.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 1
    parked = await routing.pool.fetch("SELECT key, error, dead FROM parked_key")
    assert [tuple(row) for row in parked] == [(newer, "UnknownVersion", False)]


async def test_a_service_may_handle_bytes_that_are_no_event(routing: Database, source: Source) -> None:
    """Once however often they come, behind the parked events of their key, and without blocking it."""
    handled: list[str] = []

    def on_unhandled(record: RawRecord, fault: Permanent | None) -> CaseTriaged | None:
        return None if b"stranger" in (record.value or b"") else CaseTriaged(reason="no_rule", attempt=1)

    handlers = Handlers(on_unhandled)

    @handlers.on(InquiryReceived)
    async def received(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        fail = [event.words.title == POISON for event in events]  # type: ignore[union-attr]
        handled.extend("event" for failed in fail if not failed)
        return [Fault("no", "not today", permanent=True) if failed else None for failed in fail]

    @handlers.on(CaseTriaged)
    async def substitute(tx: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
        handled.extend(event.subject for event in events)
        return None

    subject = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    bad = source.received(subject, replace_kind=(b'"complaint"', b'"gossip"'))
    source.add(bad.value or b"", bad.header("words"))
    source.received(subject)
    source.add(b'{"type": "civic.weather.changed.v1"}')
    source.add(b'{"type": "civic.stranger.v1"}')
    batches = PartitionBatchProcessor(routing, "toy", handlers)
    await batches.process(source.records)
    unreadable = f"unreadable:{source.topic}:0"
    assert sorted(handled) == [subject, "event", unreadable]
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0
    await batches.process([source.received(subject, title=POISON)])
    later = source.received(subject, replace_kind=(b'"complaint"', b'"gossip"'))
    await batches.process([later])
    assert len(handled) == 3
    await routing.pool.execute('DELETE FROM parked_event WHERE "offset" < $1', later.offset)
    await routing.pool.execute("UPDATE parked_key SET dead = false, next_attempt = '-infinity'")
    assert await Parking(routing, "toy", handlers).once() == 1
    assert handled[3:] == [subject]


async def test_an_event_on_another_writers_topic_is_not_believed(routing: Database, namespace: str) -> None:
    forged = Source(f"{namespace}.department.water.actions.v1")
    forged.received()
    await PartitionBatchProcessor(routing, "toy", counting()).process(forged.records)
    assert await applied(routing) == []
    assert "does not belong on" in await routing.pool.fetchval("SELECT detail FROM dead_letter")


async def test_a_fault_that_a_handler_returns_parks_only_its_own_event(
    routing: Database, source: Source
) -> None:
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def name(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("no", "not today") if e.words.title == POISON else None for e in events]  # type: ignore[union-attr]

    source.received(title=POISON)
    source.received()
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    assert await routing.pool.fetchval("SELECT error FROM parked_key") == "no"
    assert await routing.pool.fetchval("SELECT count(*) FROM aggregate WHERE sequences <> '{}'") == 1


async def test_an_infrastructure_fault_parks_nothing(routing: Database, source: Source) -> None:
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def cut(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        await routing.pool.execute("SELECT pg_terminate_backend($1)", tx.connection.get_server_pid())
        await tx.connection.execute("SELECT 1")
        return None

    source.received()
    with pytest.raises(
        (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)
    ):
        await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0
    await PartitionBatchProcessor(routing, "toy", counting()).process(source.records)
    assert len(await applied(routing)) == 1


async def test_commands_that_lock_many_aggregates_at_once_never_deadlock(routing: Database) -> None:
    ids = [f"a{n:03}" for n in range(60)]

    async def command(offset: int) -> None:
        mine = ids[offset:] + ids[:offset]
        async with routing.transaction(mine[:40]) as tx:
            await tx.connection.execute("SELECT pg_sleep(0.001)")

    for _ in range(3):
        await asyncio.gather(*(command(n * 7 % 60) for n in range(30)))
