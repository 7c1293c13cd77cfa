"""The core against a model: after any course of commits, sends, redeliveries, crashes, retries and discards,
each key's events are applied once and in order (I1, I2, I3, I5).

Relay, partition batches, parking and dead letters are real, on a real PostgreSQL; the topic is a list.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from harness.schema import open_service_database
from shared.contracts import registry  # noqa: F401
from shared.contracts.routing import CaseTriaged
from shared.events.decoding import IncomingEvent
from shared.inbox.dead_letters import DeadLetters
from shared.inbox.handlers import Fault, Handlers, Results
from shared.inbox.parking import Parking
from shared.inbox.partition_batch import OffsetGap, PartitionBatchProcessor
from shared.kafka.client import KafkaError, PublishResult, RecordMetadata
from shared.kafka.records import RawRecord
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import Relay
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

KEYS = ["a", "b", "c"]
SOURCE = "/services/routing"
some_keys = st.lists(st.sampled_from(KEYS), min_size=1, unique=True)
T = TypeVar("T")


class Topic:
    """One partition as a list, behind the interface of the producer. `fail` makes it lose the answer."""

    access = KafkaAccess("nowhere")

    def __init__(self) -> None:
        self.records: list[RawRecord] = []
        self.fail = False

    async def partitions(self, least: Mapping[str, int]) -> dict[str, int]:
        return dict.fromkeys(least, 1)

    async def renew(self) -> None:
        return

    async def publish(
        self,
        rows: Sequence[tuple[str, bytes, bytes, bytes | None]],
        seconds: float | None = None,  # noqa: ARG002
        *,
        widths: Mapping[str, int],  # noqa: ARG002
    ) -> PublishResult:
        outcome = PublishResult()
        for index, (topic, key, value, words) in enumerate(rows):
            headers = (("words", words),) if words is not None else ()
            self.records.append(RawRecord(topic, 0, len(self.records), 0, key, value, headers))
            outcome.sent.append((index, RecordMetadata(0, len(self.records) - 1)))
        if self.fail:
            raise KafkaError("the answer was lost")
        return outcome


class Core(RuleBasedStateMachine):
    """`committed` counts the events by key; `discarded` are the sequences that an operator discarded."""

    both: tuple[CoreSettings, CoreSettings]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.committed = dict.fromkeys(KEYS, 0)
        self.discarded: set[tuple[str, int]] = set()
        self.failing: dict[str, bool] = {}
        self.crash = False
        self.topic = Topic()
        self.run(self.open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open(self) -> None:
        self.writer, self.reader = [await Database.open(settings) for settings in self.both]
        for database in (self.writer, self.reader):
            await database.pool.execute(
                "TRUNCATE aggregate, outbox, outbox_aside, cursor, parked_key, parked_event, dead_letter"
            )
        await self.reader.pool.execute("TRUNCATE applied")
        handlers = Handlers()
        handlers.on(CaseTriaged)(self.apply)
        self.relay = Relay(self.writer, self.topic)  # type: ignore[arg-type]
        self.batches = PartitionBatchProcessor(self.reader, "model", handlers)
        self.parking = Parking(self.reader, "model", handlers)
        self.dead_letters = DeadLetters(self.reader)

    async def apply(self, tx: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
        mine = [event for event in events if event.subject not in self.failing]
        await tx.connection.execute(
            "INSERT INTO applied (key, sequence) SELECT * FROM unnest($1::text[], $2::int[])",
            [event.subject for event in mine],
            [int(event.event.sequence or 0) for event in mine],
        )
        if self.crash:
            raise ConnectionResetError("in the middle of the work")
        return [
            Fault("refused", "", permanent=self.failing[event.subject])
            if event.subject in self.failing
            else None
            for event in events
        ]

    @rule(keys=some_keys, count=st.integers(1, 3))
    def commit(self, keys: list[str], count: int) -> None:
        self.run(self._emit(keys, count))
        for key in keys:
            self.committed[key] += count

    @rule(keys=some_keys)
    def abort(self, keys: list[str]) -> None:
        async def work() -> None:
            async with self.writer.transaction(keys) as tx:
                for key in keys:
                    tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)
                raise ZeroDivisionError

        try:
            self.run(work())
        except ZeroDivisionError:
            return

    async def _emit(self, keys: list[str], count: int) -> None:
        async with self.writer.transaction(keys) as tx:
            for _ in range(count):
                for key in keys:
                    tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)

    @rule()
    def relay_a_batch(self) -> None:
        self.run(self.relay.once())

    @rule()
    def lose_the_answer_to_a_batch(self) -> None:
        self.topic.fail = True
        try:
            self.run(self.relay.once())
        except KafkaError:
            return
        finally:
            self.topic.fail = False

    @rule(back=st.integers(0, 6), count=st.integers(1, 8), crash=st.booleans())
    def deliver(self, back: int, count: int, crash: bool) -> None:
        """From the cursor on, or again from some records before it; the work may break off in the middle."""
        first = max(0, self._cursor() - back)
        records = self.topic.records[first : first + count]
        if not records:
            return
        self.crash = crash
        try:
            self.run(self.batches.process(records))
        except ConnectionResetError:
            assert crash
        finally:
            self.crash = False

    @rule(ahead=st.integers(1, 3))
    def deliver_too_far_ahead(self, ahead: int) -> None:
        cursor = self._cursor()
        records = self.topic.records[cursor + ahead :]
        if not records:
            return
        try:
            self.run(self.batches.process(records))
        except OffsetGap as gap:
            assert gap.next_offset == cursor
        else:
            raise AssertionError("a gap was accepted")

    @rule(key=st.sampled_from(KEYS), permanent=st.booleans())
    def fail(self, key: str, permanent: bool) -> None:
        self.failing[key] = permanent

    @rule(key=st.sampled_from(KEYS))
    def mend(self, key: str) -> None:
        self.failing.pop(key, None)

    @rule()
    def try_parked_keys_again(self) -> None:
        self.run(self._retry())

    async def _retry(self) -> None:
        await self.reader.pool.execute("UPDATE parked_key SET next_attempt = '-infinity'")
        await self.parking.once()

    @rule()
    def replay_a_dead_letter(self) -> None:
        letters = self.run(self.dead_letters.list())
        if letters:
            self.run(self.dead_letters.replay(letters[0].id, "model"))

    @rule()
    def discard_a_dead_letter(self) -> None:
        letters = self.run(self.dead_letters.list())
        if letters:
            letter = letters[0]
            value = self.topic.records[letter.offset].value or b""
            self.run(self.dead_letters.discard(letter.id, "model", "the model says so"))
            self.discarded.add((letter.key or "", int(value.split(b'"sequence":"')[1][:10])))

    @invariant()
    def each_key_is_applied_once_and_in_order(self) -> None:
        for key, sequences in self._applied().items():
            passed = sorted({*sequences, *(n for k, n in self.discarded if k == key)})
            assert sequences == sorted(set(sequences)), f"{key}: {sequences}"
            assert passed == list(range(1, len(passed) + 1)), f"{key}: {sequences} without {self.discarded}"

    def teardown(self) -> None:
        """When all faults are over everything that was committed is applied, but for what was given up."""
        try:
            self.failing.clear()
            while self.run(self.relay.once()):
                pass
            self.run(self._drain())
            for key, sequences in self._applied().items():
                discarded = {n for k, n in self.discarded if k == key}
                assert sequences == [n for n in range(1, self.committed[key] + 1) if n not in discarded]
        finally:
            self.run(self._close())
            self.runner.close()

    async def _drain(self) -> None:
        if self.topic.records:
            await self.batches.process(self.topic.records)
        while await self.reader.pool.fetchval("SELECT count(*) FROM parked_key"):
            for letter in await self.dead_letters.list():
                await self.dead_letters.replay(letter.id, "model")
            await self._retry()

    async def _close(self) -> None:
        await self.relay._release()
        await self.writer.close()
        await self.reader.close()

    def _cursor(self) -> int:
        return self.run(self.reader.pool.fetchval("SELECT next_offset FROM cursor")) or 0

    def _applied(self) -> dict[str, list[int]]:
        rows: list[asyncpg.Record] = self.run(
            self.reader.pool.fetch("SELECT key, sequence FROM applied ORDER BY n")
        )
        return {key: [row["sequence"] for row in rows if row["key"] == key] for key in KEYS}


async def prepare(url: str) -> tuple[CoreSettings, CoreSettings]:
    """Makes the tables of both services once; each course of events empties them."""
    writer, reader = [
        await open_service_database(url, service, pool_size=2) for service in ("routing", "inquiry")
    ]
    await reader.pool.execute("CREATE TABLE applied (n serial, key text, sequence int)")
    await writer.close()
    await reader.close()
    return writer.settings, reader.settings


def test_any_course_of_events_applies_each_once_and_in_order(database: str) -> None:
    machine = type("Core", (Core,), {"both": asyncio.run(prepare(database))})
    quick = settings(
        max_examples=20,
        stateful_step_count=30,
        # A course takes half a second: shrinking it would take minutes.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=quick)
