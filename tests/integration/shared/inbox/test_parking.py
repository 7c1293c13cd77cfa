"""Parked keys: events behind a failed event are applied in order, and once."""

import asyncio
import dataclasses

import asyncpg
import pytest

from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.contracts.inquiry import InquiryAccepted, InquiryReceived
from shared.contracts.routing import SignAction
from shared.events.decoding import IncomingEvent
from shared.inbox.dead_letters import DeadLetters
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import MAX_ATTEMPTS, Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.routing.conftest import DEADLINE
from tests.integration.shared.conftest import Source


def action(topic: str, identifier: str, offset: int, subject: str = "case-1") -> RawRecord:
    value = (
        '{"specversion":"1.0","type":"civic.action.sign.v1","source":"/anything","time":"2026-11-24T08:00:00Z",'
        f'"id":"{identifier}","subject":"{subject}","data":{{}}}}'
    )
    return RawRecord(topic, 0, offset, 1_764_000_000_000, subject.encode(), value.encode())


async def make_due(database: Database) -> None:
    await database.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")


async def test_an_action_that_is_delivered_again_while_its_key_is_parked_is_applied_once(
    routing: Database, namespace: str
) -> None:
    topic = f"{namespace}.department.water.actions.v1"
    done: list[str] = []
    refuse: set[str] = set()
    handlers = Handlers()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        done.extend(event.id for event in events if event.id not in refuse)
        return [Fault("busy", "not now") if event.id in refuse else None for event in events]

    batches = PartitionBatchProcessor(routing, "toy", handlers)
    await batches.process([action(topic, "before", 0)])
    refuse.add("parks")
    await batches.process(
        [
            action(topic, "parks", 1),
            action(topic, "before", 2),  # applied already, sent again
            action(topic, "parks", 3),  # the same act twice behind the same fault
            action(topic, "after", 4),
        ]
    )
    assert done == ["before"]
    refuse.clear()
    await make_due(routing)
    assert await Parking(routing, "toy", handlers).once() == 1
    assert done == ["before", "parks", "after"]


async def test_a_value_that_the_database_cannot_hold_parks_its_key_alone(
    routing: Database, source: Source
) -> None:
    """The driver refuses it before the server sees it: a fault of the event, not of the infrastructure."""
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        await tx.connection.execute(
            "INSERT INTO applied (subject, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in events],
            [2**40 if event.words and event.words.title == "太大" else 1 for event in events],  # type: ignore[attr-defined]
        )
        return None

    source.received(title="太大")
    source.received()
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    assert await routing.pool.fetchval("SELECT count(*) FROM applied") == 1
    assert await routing.pool.fetchval("SELECT error FROM parked_key") == "DataError"


async def test_tables_of_another_release_park_nothing(routing: Database, source: Source) -> None:
    """A replica that starts before its migration must not turn everything into dead letters."""
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        await tx.connection.execute("UPDATE applied SET of_tomorrow = 1")
        return None

    source.received()
    with pytest.raises(asyncpg.UndefinedColumnError):
        await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0
    assert await routing.pool.fetchval("SELECT count(*) FROM cursor WHERE next_offset > 0") == 0


async def test_keys_of_another_consumer_do_not_block_ours(routing: Database, source: Source) -> None:
    handlers = Handlers()
    failing = True

    @handlers.on(InquiryReceived)
    async def count(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("busy", "not now") if failing else None for _ in events]

    source.received()
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    await routing.pool.execute("UPDATE parked_key SET next_attempt = '1970-01-01'")
    await routing.pool.execute(
        "INSERT INTO parked_key (consumer, topic, key, error, next_attempt) "
        "SELECT 'other', 'x', n::text, 'e', '-infinity' FROM generate_series(1, 200) n"
    )
    failing = False
    assert await Parking(routing, "toy", handlers).once() == 1


async def test_a_running_batch_blocks_neither_other_batches_nor_a_parked_key(
    routing: Database, source: Source
) -> None:
    """A parked or dead key must concern no other key."""
    seen: list[str] = []
    entered, going_on = asyncio.Event(), asyncio.Event()
    failing = True
    handlers = Handlers()

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        titles = [event.words.title for event in events]  # type: ignore[union-attr]
        if "slow" in titles:
            entered.set()
            await going_on.wait()
        seen.extend(title for title in titles if title != "bad" or not failing)
        return [
            Fault("busy", "no", permanent=title == "dead") if failing and title in ("bad", "dead") else None
            for title in titles
        ]

    batches = PartitionBatchProcessor(routing, "toy", handlers)
    source.received(title="dead")
    source.received(title="bad")
    await batches.process(source.records)
    await make_due(routing)
    failing = False
    slow = dataclasses.replace(source.received(title="slow"), partition=1, offset=0)
    under_way = asyncio.create_task(batches.process([slow]))
    await entered.wait()
    async with asyncio.timeout(10):
        await batches.process([dataclasses.replace(source.received(title="other"), partition=2, offset=0)])
        assert await Parking(routing, "toy", handlers).once() == 1
    going_on.set()
    await under_way
    assert seen[-3:] == ["other", "bad", "slow"]


async def test_a_key_that_a_batch_holds_is_retried_after_it(routing: Database, source: Source) -> None:
    """Under steady load a batch holds it nearly always: skipping a held key would starve it."""
    handlers = Handlers()
    failing = True

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("busy", "not now") if failing else None for _ in events]

    key = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(key)
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    failing = False
    await make_due(routing)
    async with routing.pool.acquire() as batch:
        holding = batch.transaction()
        await holding.start()
        await batch.execute("SELECT FROM parked_key WHERE key = $1 FOR UPDATE", key)
        trying = asyncio.create_task(Parking(routing, "toy", handlers).once())
        async with asyncio.timeout(10):
            while not await routing.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                assert not trying.done()
        await holding.rollback()
    assert await trying == 1


async def test_each_event_of_a_key_has_its_own_attempts(routing: Database, source: Source) -> None:
    """Otherwise the second would be a dead letter at its first fault, because the first had many."""
    handlers = Handlers()
    failing = 1

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("busy", "no") if int(e.event.sequence or 0) == failing else None for e in events]

    key = "01a20b31-b3bb-7773-a1b2-3eb064159e46"
    source.received(key)
    source.received(key)
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    parking = Parking(routing, "toy", handlers)
    for _ in range(MAX_ATTEMPTS - 2):
        await make_due(routing)
        await parking.once()
    failing = 2
    await make_due(routing)
    await parking.once()
    row = await routing.pool.fetchrow("SELECT attempts, dead FROM parked_key")
    assert row is not None
    assert tuple(row) == (1, False)


async def test_a_key_whose_transaction_fails_at_its_end_blocks_no_other(
    routing: Database, source: Source
) -> None:
    handlers = Handlers()
    failing = True
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        if not failing:
            # What is written with the transaction's end: an id that exists already.
            tx.create(event.subject for event in events if event.subject == bad)
        return [Fault("busy", "not now") if failing else None for _ in events]

    source.received(bad)
    source.received()
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    failing = False
    parking = Parking(routing, "toy", handlers)
    await make_due(routing)
    await routing.pool.execute("UPDATE parked_key SET next_attempt = '1970-01-01' WHERE key <> $1", bad)
    assert await parking.once() == 1
    assert await routing.pool.fetchval("SELECT attempts FROM parked_key") == 2
    for _ in range(MAX_ATTEMPTS):
        await make_due(routing)
        await parking.once()
    assert await routing.pool.fetchval("SELECT error FROM dead_letter") == "Conflict"


async def test_an_action_that_came_twice_under_two_subjects_is_applied_once(
    routing: Database, namespace: str
) -> None:
    """One is parked while a batch applies the other; neither sees the other before it commits."""
    topic = f"{namespace}.department.water.actions.v1"
    done: list[str] = []
    failing = True
    handlers = Handlers()
    entered, going_on = asyncio.Event(), asyncio.Event()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        if failing:
            return [Fault("busy", "not now") for _ in events]
        if events[0].subject == "case-2":
            entered.set()
            await going_on.wait()
        done.extend(event.subject for event in events)
        return None

    batches, parking = PartitionBatchProcessor(routing, "toy", handlers), Parking(routing, "toy", handlers)
    await batches.process([action(topic, "a-1", 0, "case-1")])
    failing = False
    await make_due(routing)
    live = asyncio.create_task(batches.process([action(topic, "a-1", 1, "case-2")]))
    await entered.wait()
    trying = asyncio.create_task(parking.once())
    async with asyncio.timeout(10):
        while "case-1" not in done:
            await asyncio.sleep(0.01)
    going_on.set()
    await live
    await trying
    await make_due(routing)
    await parking.once()
    assert await routing.pool.fetchval("SELECT count(*) FROM seen_event") == 1
    assert await routing.pool.fetchval("SELECT count(*) FROM parked_key") == 0


async def test_the_event_whose_transaction_fails_at_its_end_is_blamed_and_no_other(
    routing: Database, source: Source
) -> None:
    handlers = Handlers()
    failing = True
    key = "01a20b31-b3bb-7773-a1b2-3eb064159e46"

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        if not failing:
            # Refused when the transaction ends: an id that exists already.
            tx.create(event.subject for event in events if event.event.sequence == "0000000003")
        return [Fault("busy", "not now") if failing else None for _ in events]

    for _ in range(5):
        source.received(key)
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    failing = False
    parking = Parking(routing, "toy", handlers)
    for _ in range(MAX_ATTEMPTS):
        await make_due(routing)
        assert await parking.once() == 0
    letter = await routing.pool.fetchrow('SELECT "offset", error, attempts FROM dead_letter')
    assert letter is not None
    assert tuple(letter) == (2, "Conflict", MAX_ATTEMPTS)
    assert await routing.pool.fetch('SELECT "offset" FROM parked_event ORDER BY 1') == [(2,), (3,), (4,)]


async def test_a_failure_that_cannot_be_recorded_ends_no_loop(routing: Database, source: Source) -> None:
    """The outbox refuses the event about the dead letter; other keys go on."""
    handlers = Handlers()
    failing = True
    bad = "01a20b31-b3bb-7773-a1b2-3eb064159e46"

    @handlers.on(InquiryReceived)
    async def take(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        return [Fault("busy", "no") if failing or event.subject == bad else None for event in events]

    source.received(bad)
    source.received()
    await PartitionBatchProcessor(routing, "toy", handlers).process(source.records)
    failing = False
    await make_due(routing)
    await routing.pool.execute("UPDATE parked_key SET attempts = $1 WHERE key = $2", MAX_ATTEMPTS - 1, bad)
    await routing.pool.execute("ALTER TABLE outbox ADD CONSTRAINT refused CHECK (false)")
    try:
        assert await Parking(routing, "toy", handlers).once() == 1
    finally:
        await routing.pool.execute("ALTER TABLE outbox DROP CONSTRAINT refused")
    kept = await routing.pool.fetch("SELECT key, dead, next_attempt > now() AS later FROM parked_key")
    assert [tuple(row) for row in kept] == [(bad, False, True)]


@pytest.mark.parametrize("end", ["replay", "discard"])
async def test_a_key_that_is_parked_across_two_partitions_can_be_freed(
    routing: Database, namespace: str, end: str
) -> None:
    """What arrived first is its head, whichever partition has the lower number."""
    topic = f"{namespace}.department.water.actions.v1"
    done: list[str] = []
    refused = {"first"}
    handlers = Handlers()

    @handlers.on(SignAction)
    async def sign(tx: Tx, events: list[IncomingEvent[SignAction]]) -> Results:
        done.extend(event.id for event in events if event.id not in refused)
        return [Fault("no", "", permanent=True) if event.id in refused else None for event in events]

    batches = PartitionBatchProcessor(routing, "toy", handlers)
    await batches.process([dataclasses.replace(action(topic, "first", 50), partition=1)], start=0)
    await batches.process([action(topic, "second", 10)], start=0)
    (letter,) = await DeadLetters(routing).list()
    if end == "replay":
        refused.clear()
        await DeadLetters(routing).replay(letter.id, "me")
    else:
        await DeadLetters(routing).discard(letter.id, "me", "x")
    assert await Parking(routing, "toy", handlers).once() == 1
    assert done == (["first", "second"] if end == "replay" else ["second"])


async def test_an_event_that_is_waited_for_is_applied_behind_later_ones_once(
    routing: Database, source: Source
) -> None:
    """It was lost and is sent again; whether it is applied at once or parked first makes no difference."""
    taken: list[str] = []
    failing = True
    handlers = Handlers()

    @handlers.on(InquiryReceived, fulfils="intake")
    async def begin(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        if failing:
            return [Fault("busy", "not now") for _ in events]
        for event in events:
            taken.append(event.subject)
            tx.fulfil(event.subject, "intake")
        return None

    @handlers.on(InquiryAccepted)
    async def follow(tx: Tx, events: list[IncomingEvent[InquiryAccepted]]) -> Results:
        for event in events:
            tx.expect(event.subject, "intake")
        return None

    batches = PartitionBatchProcessor(routing, "toy", handlers)
    lost = source.received()
    subject = (lost.key or b"").decode()
    later = source.fact(subject, InquiryAccepted(deadline=DEADLINE))
    await batches.process([dataclasses.replace(later, offset=0)])
    await batches.process([dataclasses.replace(lost, offset=1), dataclasses.replace(lost, offset=2)])
    assert taken == []
    failing = False
    await make_due(routing)
    assert await Parking(routing, "toy", handlers).once() == 1
    assert taken == [subject]
    await batches.process([dataclasses.replace(lost, offset=3)])
    assert taken == [subject]
    # What comes after it is compared with the same ordinal as before.
    assert await routing.pool.fetchval(
        """SELECT sequences->>'/services/inquiry' FROM aggregate WHERE id = $1""", subject
    ) == str(ORDINALS_PER_EPOCH + 2)
