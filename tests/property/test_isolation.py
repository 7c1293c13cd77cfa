"""A bad record costs its own key and nothing else, at whatever step of a partition batch it throws (I5).

Each record names what it does. However good and bad ones are mixed, every good one is applied once and in the
order of its key, a bad one parks its key with all that follows, and the cursor passes them all.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.schema import open_service_database
from shared.contracts.base import Event
from shared.contracts.inquiry import InquiryReceived
from shared.contracts.routing import CaseTriaged
from shared.decision import TimerSpec
from shared.errors import Permanent
from shared.events.decoding import IncomingEvent
from shared.inbox.dead_letters import DeadLetters
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.kafka.records import RawRecord
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx
from tests.integration.shared.conftest import Source

KEYS = ["01a20b31-b3bb-7773-a1b2-3eb06415900" + last for last in "0123"]
NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
Deed = Callable[[Tx, IncomingEvent[InquiryReceived]], Coroutine[Any, Any, Fault | None]]

# What the database refuses of its own accord: at the flush, and at the commit.
_REFUSING_TABLES = """
CREATE TABLE applied (n serial, subject text, sequence int);
CREATE TABLE late (subject text);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'this row is refused'; END $$;
CREATE CONSTRAINT TRIGGER late_refused AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION refuse();
CREATE TRIGGER outbox_refused BEFORE INSERT ON outbox
    FOR EACH ROW WHEN (convert_from(NEW.value, 'UTF8') LIKE '%"attempt":666%') EXECUTE FUNCTION refuse();
"""


async def raises(tx: Tx, event: IncomingEvent[Any]) -> None:
    raise ValueError("a bug")


async def raises_what_no_column_holds(tx: Tx, event: IncomingEvent[Any]) -> None:
    raise Permanent("zero \x00 and half a pair \ud800")


async def returns_a_fault(tx: Tx, event: IncomingEvent[Any]) -> Fault:
    return Fault("busy", "not now")


async def returns_a_fault_without_a_name(tx: Tx, event: IncomingEvent[Any]) -> Fault:
    return Fault("", "\x00", permanent=True)


async def returns_a_fault_with_a_long_name(tx: Tx, event: IncomingEvent[Any]) -> Fault:
    return Fault("long " * 100, "", permanent=True)


async def sends_wrong_sql(tx: Tx, event: IncomingEvent[Any]) -> None:
    await tx.connection.execute("SELECT FROM WHERE")


async def calls_a_function_that_is_not_there(tx: Tx, event: IncomingEvent[Any]) -> None:
    await tx.connection.execute("SELECT no_such_function(1)")


async def asks_twice_at_once(tx: Tx, event: IncomingEvent[Any]) -> None:
    await asyncio.gather(*(tx.connection.fetch("SELECT pg_sleep(0.01)") for _ in range(2)))


async def swallows_a_refusal(tx: Tx, event: IncomingEvent[Any]) -> None:
    with suppress(asyncpg.PostgresError):
        await tx.connection.execute("SELECT 1 / 0")


async def creates_what_exists(tx: Tx, event: IncomingEvent[Any]) -> None:
    tx.create([event.subject])


async def schedules_what_is_no_json(tx: Tx, event: IncomingEvent[Any]) -> None:
    tx.schedule(event.subject, TimerSpec("toy", NOW, {"what": object()}))  # type: ignore[dict-item]


async def marks_what_no_column_holds(tx: Tx, event: IncomingEvent[Any]) -> None:
    tx.mark_action_processed("toy", "a\x00b")


async def counts_beyond_64_bits(tx: Tx, event: IncomingEvent[Any]) -> None:
    tx.mark_processed(event.subject, "/elsewhere", 2**64)


async def emits_what_the_outbox_refuses(tx: Tx, event: IncomingEvent[Any]) -> None:
    tx.emit(CaseTriaged(reason="no_rule", attempt=666), subject=event.subject, cause=event)


async def fails_at_the_commit(tx: Tx, event: IncomingEvent[Any]) -> None:
    await tx.connection.execute("INSERT INTO late VALUES ($1)", event.subject)


IN_THE_HANDLER: dict[str, Deed] = {
    deed.__name__: deed
    for deed in (
        raises,
        raises_what_no_column_holds,
        returns_a_fault,
        returns_a_fault_without_a_name,
        returns_a_fault_with_a_long_name,
        sends_wrong_sql,
        calls_a_function_that_is_not_there,
        asks_twice_at_once,
        swallows_a_refusal,
        creates_what_exists,
        schedules_what_is_no_json,
        marks_what_no_column_holds,
        counts_beyond_64_bits,
        emits_what_the_outbox_refuses,
        fails_at_the_commit,
    )
}
LOCKS: dict[str, Any] = {"locks zero": "a\x00b", "locks half a pair": "\ud800", "locks a number": 7}
IN_THE_DECLARATION = ["raises in locks", "raises in accepts", "miscounts", *LOCKS]
NOT_READABLE = ["epoch of 10^10", "epoch below zero", "time of no calendar", "time before all", "wrong data"]
MENDABLE = [*IN_THE_HANDLER, *IN_THE_DECLARATION]
DEEDS = [*MENDABLE, *NOT_READABLE]


def deed_of(event: Event[InquiryReceived]) -> str:
    return event.data.service_code


def handlers(*, mended: bool = False) -> Handlers:
    """Write down what they apply, and do what the records name unless it is mended."""
    made = Handlers()

    def accepts(data: Mapping[str, Any]) -> bool:
        if not mended and data["service_code"] == "raises in accepts":
            raise ValueError("a bug in accepts")
        return True

    def locks(event: IncomingEvent[InquiryReceived]) -> Iterable[str]:
        if mended:
            return ()
        if deed_of(event.event) == "raises in locks":
            raise ValueError("a bug in locks")
        return [LOCKS[deed]] if (deed := deed_of(event.event)) in LOCKS else ()

    @made.on(InquiryReceived, locks, accepts=accepts)
    async def apply(tx: Tx, events: list[IncomingEvent[InquiryReceived]]) -> Results:
        await tx.connection.execute(
            "INSERT INTO applied (subject, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in events],
            [int(event.event.sequence or 0) for event in events],
        )
        results: list[Fault | None] = []
        for event in events:
            deed = None if mended else IN_THE_HANDLER.get(deed_of(event.event))
            results.append(await deed(tx, event) if deed else None)
        bad = [n for n, result in enumerate(results) if result is not None]
        if bad:
            await tx.connection.execute(
                "DELETE FROM applied a USING unnest($1::text[], $2::int[]) AS b (subject, sequence)"
                " WHERE (a.subject, a.sequence) = (b.subject, b.sequence)",
                [events[n].subject for n in bad],
                [int(events[n].event.sequence or 0) for n in bad],
            )
        return results[1:] if not mended and any(deed_of(e.event) == "miscounts" for e in events) else results

    return made


def record_of(source: Source, key: str, deed: str | None) -> RawRecord:
    data = InquiryReceived(
        number="1", kind="complaint", service_code=deed or "good", channel="web", secret_hash="0" * 64
    )
    record = source.fact(key, data)
    value = record.value or b""
    if deed == "epoch of 10^10":
        record.value = value.replace(b'"epoch":1', b'"epoch":10000000000')
    elif deed == "epoch below zero":
        record.value = value.replace(b'"epoch":1', b'"epoch":-1')
    elif deed == "time of no calendar":
        record.timestamp_ms = 2**63 - 1
    elif deed == "time before all":
        record.timestamp_ms = -(2**63)
    elif deed == "wrong data":
        record.value = value.replace(b'"complaint"', b'"gossip"')
    return record


class Course:
    """One batch on empty tables, and what must have come of it."""

    def __init__(self, database: Database, batch: list[tuple[str, str | None]]) -> None:
        self.database = database
        self.source = Source("civic.inquiry.v1")
        self.records = [record_of(self.source, key, deed) for key, deed in batch]
        self.deeds = {key: [deed for own, deed in batch if own == key] for key in KEYS}

    async def run(self) -> None:
        tables = "aggregate, outbox, timer, cursor, seen_event, parked_key, parked_event, dead_letter"
        await self.database.pool.execute(f"TRUNCATE applied, late, {tables}")
        processor = PartitionBatchProcessor(self.database, "toy", handlers())
        assert await processor.process(self.records) == len(self.records)
        assert await self.database.pool.fetchval("SELECT next_offset FROM cursor") == len(self.records)
        first_bad = {
            key: next((n for n, deed in enumerate(deeds) if deed), len(deeds))
            for key, deeds in self.deeds.items()
        }
        assert await self.applied() == {key: list(range(1, n + 1)) for key, n in first_bad.items()}
        assert await self.parked() == {key: len(self.deeds[key]) - n for key, n in first_bad.items()}
        await self.mend()

    async def mend(self) -> None:
        """Once the handlers are mended all is applied in order, but for what nobody can read."""
        parking = Parking(self.database, "toy", handlers(mended=True))
        letters = DeadLetters(self.database)
        while await self.database.pool.fetchval("SELECT count(*) FROM parked_key"):
            for letter in await letters.list():
                if await self._can_be_mended(letter.offset):
                    await letters.replay(letter.id, "toy")
                else:
                    await letters.discard(letter.id, "toy", "nobody can read it")
            await self.database.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
            await parking.once()
        assert await self.applied() == {
            key: [n for n, deed in enumerate(deeds, 1) if deed not in NOT_READABLE]
            for key, deeds in self.deeds.items()
        }

    async def _can_be_mended(self, offset: int) -> bool:
        deeds = (self.deeds[key][n] for key, n in [self._place_of(self.records[offset])])
        return next(deeds) not in NOT_READABLE

    def _place_of(self, record: RawRecord) -> tuple[str, int]:
        own = [one for one in self.records if one.key == record.key]
        return (record.key or b"").decode(), own.index(record)

    async def applied(self) -> dict[str, list[int]]:
        rows = await self.database.pool.fetch("SELECT subject, sequence FROM applied ORDER BY n")
        return {key: [row["sequence"] for row in rows if row["subject"] == key] for key in KEYS}

    async def parked(self) -> dict[str, int]:
        rows = await self.database.pool.fetch("SELECT key, count(*) AS n FROM parked_event GROUP BY key")
        return dict.fromkeys(KEYS, 0) | {row["key"]: row["n"] for row in rows}


async def prepare(url: str) -> CoreSettings:
    opened = await open_service_database(url, "routing", pool_size=2)
    await opened.pool.execute(_REFUSING_TABLES)
    await opened.close()
    return opened.settings


@pytest.fixture(scope="module")
def prepared(database: str) -> CoreSettings:
    return asyncio.run(prepare(database))


def play(prepared: CoreSettings, batch: list[tuple[str, str | None]]) -> None:
    async def course() -> None:
        opened = await Database.open(prepared)
        try:
            async with asyncio.timeout(20):
                await Course(opened, batch).run()
        finally:
            await opened.close()

    asyncio.run(course())


@pytest.mark.parametrize("deed", DEEDS)
def test_a_record_that_throws_at_any_step_parks_its_own_key(prepared: CoreSettings, deed: str) -> None:
    own, other = KEYS[:2]
    play(prepared, [(other, None), (own, None), (own, deed), (other, None), (own, None), (other, None)])


batches = st.lists(
    st.tuples(st.sampled_from(KEYS), st.none() | st.sampled_from(DEEDS)), min_size=1, max_size=12
)


def test_however_bad_records_are_mixed_each_costs_its_own_key(prepared: CoreSettings) -> None:
    @settings(
        max_examples=25,
        # A course takes half a second: shrinking it would take minutes.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(batches)
    def any_batch(batch: list[tuple[str, str | None]]) -> None:
        play(prepared, batch)

    any_batch()
