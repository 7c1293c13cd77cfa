"""The core alone in a small world: routing emits, inquiry answers each event; relays and readers crash.

Small enough to run in seconds with broken parts, under the same history checker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asyncpg
import orjson

from harness.at_rest import CoreState, check_core
from harness.history import History, Violation
from harness.schema import make_topics, open_service_database
from shared.contracts.addresses import topic_name
from shared.contracts.inquiry import InquiryRequestRefused
from shared.contracts.routing import CaseTriaged
from shared.errors import Stale
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handlers, Results
from shared.inbox.partition_batch import OffsetGap, PartitionBatchProcessor
from shared.infrastructure import is_infrastructure
from shared.kafka.client import KafkaError, Producer, Reader
from shared.kafka.records import RawRecord
from shared.kafka_access import KafkaAccess
from shared.outbox.relay import Relay
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

TRIAGED, ANSWERED = CaseTriaged.contract.type, InquiryRequestRefused.contract.type
KEYS, WRITERS, ROUNDS = 24, 4, 12
DESKS = 6
Loop = Callable[[], Coroutine[Any, Any, object]]


@dataclass(slots=True)
class World:
    """Two services of the core. `slices` and `relay` may be broken ones; with `crashes` loops die often."""

    routing: Database
    inquiry: Database
    access: KafkaAccess
    random: Random
    slices: type[PartitionBatchProcessor] = PartitionBatchProcessor
    relay: type[Relay] = Relay
    crashes: bool = True
    copies: int = 2
    history: History = field(init=False)

    @property
    def topics(self) -> list[str]:
        return [topic_name(self.routing.settings.topic_namespace, name) for name in ("routing", "inquiry")]

    async def run(self) -> list[Violation]:
        """Emits, crashes, comes to rest, and returns what is wrong."""
        loops: list[Loop] = [self._relaying(self.routing), self._relaying(self.inquiry), self._reading]
        async with contextlib.AsyncExitStack() as stack:
            tasks = [
                await stack.enter_async_context(_kept_running(loop))
                for loop in loops
                for _ in range(self.copies)
            ]
            emitting = asyncio.create_task(self._emit())
            while not emitting.done():
                await asyncio.sleep(self.random.uniform(0.02, 0.1))
                if self.crashes:
                    self.random.choice(tasks).crash()
            await emitting
            await self._come_to_rest()
        return await self._check()

    async def _emit(self) -> None:
        async def writer(number: int) -> None:
            for _ in range(ROUNDS):
                keys = [f"case-{n}" for n in range(number % 2, KEYS, 2)]
                async with self.routing.transaction(keys) as tx:
                    for key in keys:
                        tx.emit(CaseTriaged(reason="no_rule", attempt=1), subject=key)
                await asyncio.sleep(0.05)

        await asyncio.gather(*(writer(number) for number in range(WRITERS)))

    def _relaying(self, database: Database) -> Loop:
        async def loop() -> None:
            producer = Producer(self.access, "world")
            try:
                await self.relay(database, producer).run()
            finally:
                await producer.stop()

        return loop

    async def _reading(self) -> None:
        """From the cursors, all partitions at once; every copy reads them all, so each is owned twice."""
        slices = self.slices(self.inquiry, "world", answering())
        while True:
            rows = await self.inquiry.pool.fetch("SELECT topic, partition, next_offset FROM cursor")
            reader = Reader(self.access, "world", self.topics[:1])
            try:
                await reader.start({(row["topic"], row["partition"]): row["next_offset"] for row in rows})
                while True:
                    found: dict[int, list[RawRecord]] = {}
                    for record in await reader.read(50, 50):
                        found.setdefault(record.partition, []).append(record)
                    await asyncio.gather(*(slices.process(records) for records in found.values()))
            except OffsetGap:
                continue
            except Exception as error:
                if not (is_infrastructure(error) or isinstance(error, KafkaError | Stale)):
                    raise
            finally:
                await reader.stop()

    async def _come_to_rest(self) -> None:
        reader = Reader(self.access, "rest", self.topics)
        await reader.start({})
        try:
            async with asyncio.timeout(60):
                while not await self._rests(reader):
                    await asyncio.sleep(0.05)
        finally:
            await reader.stop()

    async def _rests(self, reader: Reader) -> bool:
        before = await reader.ends()
        waiting = [
            await one.pool.fetchval("SELECT count(*) FROM outbox") for one in (self.routing, self.inquiry)
        ]
        read = (await self._state(self.inquiry, "inquiry", before)).cursors
        unread = [
            partition
            for partition, end in before.items()
            if partition[0] == self.topics[0] and read.get(("world", *partition), 0) < end
        ]
        return not any(waiting) and not unread and before == await reader.ends()

    async def _check(self) -> list[Violation]:
        self.history = History(self.routing.settings.topic_namespace)
        reader = Reader(self.access, "check", self.topics)
        await reader.start({})
        try:
            ends = await reader.ends()
            missing = sum(ends.values())
            while missing:
                for record in await reader.read(5000, 200):
                    self.history.add(record)
                    missing -= 1
        finally:
            await reader.stop()
        found = [*self.history.violations(), *self.history.unanswered({TRIAGED: frozenset({ANSWERED})})]
        reads = {self.inquiry: frozenset(self.topics[:1]), self.routing: frozenset[str]()}
        for database, topics in reads.items():
            mine = {partition: end for partition, end in ends.items() if partition[0] in topics}
            state = await self._state(database, database.settings.service, mine)
            found += check_core(self.history, state, handled=frozenset({TRIAGED}), reads=topics)
        return found

    async def _state(self, database: Database, service: str, ends: dict[tuple[str, int], int]) -> CoreState:
        cursors = await database.pool.fetch("SELECT topic, partition, next_offset FROM cursor")
        return CoreState(
            service,
            await database.pool.fetchval("SELECT count(*) FROM outbox"),
            {("world", row["topic"], row["partition"]): row["next_offset"] for row in cursors},
            {("world", *partition): end for partition, end in ends.items()},
            await _sequences(database),
            frozenset(),
            0,
        )


def answering() -> Handlers:
    """Answers each event once; it locks two desks beside its case, as a command on several does."""
    handlers = Handlers()

    def locks(event: IncomingEvent[Any]) -> Iterable[str]:
        number = sum(event.id.encode())
        return event.subject, f"desk-{number % DESKS}", f"desk-{number // 7 % DESKS}"

    @handlers.on(CaseTriaged, locks=locks)
    async def answer(tx: Tx, events: list[IncomingEvent[CaseTriaged]]) -> Results:
        for event in events:
            tx.emit(InquiryRequestRefused(state="world", rule="always"), subject=event.subject, cause=event)
        return None

    return handlers


@contextlib.asynccontextmanager
async def world(admin_url: str, access: KafkaAccess, namespace: str, **more: Any) -> AsyncIterator[World]:
    """A world on fresh tables and topics of `namespace`."""
    await make_topics(access, namespace, [])
    routing, inquiry = [
        await open_service_database(admin_url, service, namespace=namespace, access=access)
        for service in ("routing", "inquiry")
    ]
    try:
        for database in (routing, inquiry):
            await database.pool.execute(
                "TRUNCATE aggregate, outbox, outbox_aside, cursor, parked_key, parked_event"
            )
        yield World(routing, inquiry, access, Random(7), **more)
    finally:
        await routing.close()
        await inquiry.close()


async def deadlocks(admin_url: str) -> int:
    """How many this database has seen so far; a session reports them when it ends at the latest."""
    connection = await asyncpg.connect(admin_url)
    try:
        found = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
    finally:
        await connection.close()
    return int(found)


class _Kept:
    """A loop that is restarted after each crash."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._task: asyncio.Task[object] | None = None

    def crash(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        while True:
            self._task = asyncio.create_task(self._loop())
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()


@contextlib.asynccontextmanager
async def _kept_running(loop: Loop) -> AsyncIterator[_Kept]:
    kept = _Kept(loop)
    running = asyncio.create_task(kept.run())
    try:
        yield kept
    finally:
        running.cancel()
        kept.crash()
        await asyncio.gather(running, return_exceptions=True)
        if kept._task is not None:
            await asyncio.gather(kept._task, return_exceptions=True)


async def _sequences(database: Database) -> dict[str, dict[str, int]]:
    rows = await database.pool.fetch("SELECT id, sequences FROM aggregate")
    return {row["id"]: orjson.loads(row["sequences"]) for row in rows}
