"""Applies a batch of one partition in one transaction, together with the move of its cursor row."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared import sql
from shared.errors import Stale
from shared.events.decoding import IncomingEvent, peek_field, unreadable_subject
from shared.inbox.floods import Flood, FloodLimit, PartitionPaused
from shared.inbox.handlers import Fault, Handlers, Refused
from shared.inbox.parked_records import ParkedRecords
from shared.inbox.resolving import resolve_or_fault
from shared.inbox.rounds import (
    Item,
    apply,
    begins_below,
    in_rounds,
    is_awaited,
    is_duplicate,
    known_actions,
    leap_of,
    standing_waits,
)
from shared.inbox.topic_losses import REPLACED, record_loss
from shared.infrastructure import is_infrastructure
from shared.kafka.fingerprint import fingerprint
from shared.kafka.records import RawRecord
from shared.logs import get_logger
from shared.metrics import BATCH_SECONDS, EPOCH_OVERLAPS, EVENTS, FLOODED
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Expectation
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)


class OffsetGap(Stale):
    """The cursor is before the first record: the records in between were not applied."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"the cursor is at {next_offset}, before the fetched records")
        self.next_offset = next_offset


class _Run(NamedTuple):
    """The offsets that a batch covers: from `start` up to `next_offset`, with or without records."""

    start: int
    next_offset: int


@dataclass(slots=True)
class _Work:
    """What one transaction has found out and done so far.

    `parked` are the keys of its records that are parked, `known` the actions that were applied before,
    `refused` the offsets of events whose request was refused, `standing` what `standing_waits` has found.
    """

    records: ParkedRecords
    parked: set[str] = field(default_factory=set)
    known: set[tuple[str, str]] = field(default_factory=set)
    refused: list[int] = field(default_factory=list)
    standing: set[Expectation] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def bad_offsets(self) -> list[int]:
        """The offsets of records that count towards the limit of their partition."""
        return sorted([*self.records.offsets(), *self.refused])


class PartitionBatchProcessor:
    """Applies partition batches for one consumer."""

    def __init__(self, database: Database, consumer: str, handlers: Handlers) -> None:
        self._database = database
        self._consumer = consumer
        self._handlers = handlers
        self._flood_limit = FloodLimit(database, consumer)

    async def process(
        self, records: Sequence[RawRecord], *, start: int | None = None, next_offset: int | None = None
    ) -> int:
        """Applies records of one partition, given in offset order, and returns the cursor after them.

        They are all that can be read from offset `start` (by default the first record's) up to `next_offset`
        (by default behind the last one): offsets are not dense. Records below the cursor are dropped.

        The first attempt has no savepoints. If an event fails for its own reason, the transaction is rolled
        back and repeated with savepoints, which isolate that event. If that fails too, at a step that no
        savepoint covers, the records are halved until the one that fails is alone: its key is parked.

        Raises OffsetGap if the cursor is below `start`, PartitionPaused if too many records of a unit's topic
        are bad, and every fault of the infrastructure.
        """
        started = time.perf_counter()
        run = _Run(
            records[0].offset if start is None else start,
            records[-1].offset + 1 if next_offset is None else next_offset,
        )
        try:
            cursor = await self._apply_or_isolate(records, run)
        except Flood as flood:
            raise await self._hold_back(records, run.start, flood.offset) from flood
        BATCH_SECONDS.labels(self._consumer).observe(time.perf_counter() - started)
        return cursor

    async def pass_offsets(self, topic: str, partition: int, *, start: int, next_offset: int) -> int:
        """Moves the cursor over a run without records, and returns it. Raises OffsetGap, see `process`."""
        owner = (self._consumer, topic, partition)
        async with self._database.transaction() as tx:
            cursor = await self._lock_cursor(tx, owner, start)
            if cursor < next_offset:
                await tx.connection.execute(QUERIES["pass_offsets"], *owner, next_offset)
        return max(cursor, next_offset)

    async def reset_cursor(self, topic: str, partition: int, *, cursor: int, begin: int, end: int) -> None:
        """Moves the cursor to `begin`, for a log that is not the one which was read; records the loss.

        Events that were applied are recognised by sequence or id; parked events stay before what arrives
        later. Raises Stale if the cursor is no longer at `cursor`.
        """
        owner = (self._consumer, topic, partition)
        async with self._database.transaction() as tx:
            if await tx.connection.fetchval(QUERIES["lock_cursor"], *owner) != cursor:
                raise Stale("another replica has moved the cursor")
            await tx.connection.execute(QUERIES["advance_cursor"], *owner, begin, None, None, None)
            await record_loss(tx, owner, REPLACED, cursor, end)

    async def _hold_back(self, records: Sequence[RawRecord], start: int, end: int) -> PartitionPaused:
        """Applies what stands before `end` and pauses the partition; the error to raise."""
        within = [record for record in records if record.offset < end]
        if within:
            try:
                # Some may be applied already: the flood may have come after the first half of the records.
                await self._apply_or_isolate(within, _Run(start, end))
            except Flood as flood:
                return await self._hold_back(within, start, flood.offset)
        topic, number = partition = (records[0].topic, records[0].partition)
        await self._flood_limit.pause(partition)
        log.error("partition paused", consumer=self._consumer, topic=topic, partition=number, offset=end)
        return PartitionPaused(end)

    async def _apply_or_isolate(self, records: Sequence[RawRecord], run: _Run) -> int:
        try:
            return await self._transact(records, run)
        except Exception as error:
            if _concerns_all(error):
                raise
            return await self._isolate(records, run)

    async def _isolate(self, records: Sequence[RawRecord], run: _Run) -> int:
        """Applies the records with savepoints, or each half of them so, or parks the one record."""
        try:
            return await self._transact(records, run, careful=True)
        except Exception as error:
            if _concerns_all(error):
                raise
            fault = Fault.of(error)
            if len(records) == 1:
                first = records[0]
                log.warning("record fails", topic=first.topic, offset=first.offset, exc_info=error)
        if len(records) == 1:
            return await self._transact(records, run, fault=fault)
        half = len(records) // 2
        middle = records[half].offset
        await self._isolate(records[:half], _Run(run.start, middle))
        return await self._isolate(records[half:], _Run(middle, run.next_offset))

    async def _transact(
        self,
        records: Sequence[RawRecord],
        run: _Run,
        *,
        careful: bool = False,
        fault: Fault | None = None,
    ) -> int:
        """Applies the records, moves the cursor and returns it. With a `fault` they are only parked."""
        topic, partition = records[0].topic, records[0].partition
        async with self._database.transaction() as tx:
            fresh, cursor = await self._after_cursor(tx, records, run.start)
            if cursor >= run.next_offset:
                return cursor
            if not fresh:
                work = _Work(ParkedRecords(tx, self._consumer))
            elif fault is None:
                work = await self._apply(tx, fresh, careful=careful)
            else:
                work = await self._park_unread(tx, fresh, fault)
            beyond = await self._flood_limit.count(tx, (topic, partition), work.bad_offsets)
            last = fingerprint(records[-1])
            moved = (self._consumer, topic, partition, run.next_offset)
            await tx.connection.execute(
                QUERIES["advance_cursor"], *moved, last.offset, last.appended_ms, last.digest
            )
        for outcome, count in work.counts.items():
            if count:
                EVENTS.labels(self._consumer, outcome).inc(count)
        if beyond:
            FLOODED.labels(self._consumer, topic).inc(beyond)
            log.error("flood", consumer=self._consumer, topic=topic, partition=partition, records=beyond)
        return run.next_offset

    async def _after_cursor(
        self, tx: Tx, records: Sequence[RawRecord], start: int
    ) -> tuple[Sequence[RawRecord], int]:
        """Locks the cursor; the records from it on, and the cursor. Raises OffsetGap, see `process`."""
        cursor = await self._lock_cursor(tx, (self._consumer, records[0].topic, records[0].partition), start)
        return [record for record in records if record.offset >= cursor], cursor

    async def _lock_cursor(self, tx: Tx, owner: tuple[str, str, int], start: int) -> int:
        cursor: int | None = await tx.connection.fetchval(QUERIES["lock_cursor"], *owner)
        if cursor is None:
            # A new consumer reads every topic from its beginning, whatever offset is committed in Kafka.
            await tx.connection.execute(QUERIES["start_cursor"], *owner, 0)
            cursor = int(await tx.connection.fetchval(QUERIES["lock_cursor"], *owner))
        if cursor < start:
            raise OffsetGap(cursor)
        return cursor

    async def _apply(self, tx: Tx, records: Sequence[RawRecord], *, careful: bool) -> _Work:
        work = _Work(ParkedRecords(tx, self._consumer))
        items, unreadable = self._resolve_all(records, work.counts)
        if not items and not unreadable:
            return work
        work.parked = await self._lock_parked(tx, records[0].topic, {item.key for item in items})
        locks = {aggregate for item in items for aggregate in item.locks}
        locks.update(unreadable_subject(record.topic, record.partition) for record, _ in unreadable)
        await tx.lock(locks)
        for item in items:
            # Even if the event is not applied now, but only joins its parked key.
            if item.handler is not None and item.handler.contract.is_erasure:
                tx.erase(item.key)
        self._give_up_unreadable(unreadable, work)
        work.known = await known_actions(tx, (item.event for item in items if item.event is not None))
        work.standing = await standing_waits(
            tx,
            (
                (item.handler, item.event)
                for item in items
                if item.handler is not None and item.event is not None
            ),
        )
        for independent in in_rounds(items):
            await self._round(tx, independent, work, careful=careful)
        await work.records.write()
        return work

    async def _park_unread(self, tx: Tx, records: Sequence[RawRecord], fault: Fault) -> _Work:
        """Parks each record under its key, without a look at anything else of it."""
        work = _Work(ParkedRecords(tx, self._consumer))
        items = [(record, key) for record in records if (key := peek_field(record, "subject")) is not None]
        unreadable = [(record, fault) for record in records if peek_field(record, "subject") is None]
        work.parked = await self._lock_parked(tx, records[0].topic, {key for _, key in items})
        locks = {key for _, key in items}
        locks.update(unreadable_subject(record.topic, record.partition) for record, _ in unreadable)
        await tx.lock(locks)
        self._give_up_unreadable(unreadable, work)
        for record, key in items:
            self._park(record, key, fault, work)
        await work.records.write()
        return work

    async def _lock_parked(self, tx: Tx, topic: str, keys: set[str]) -> set[str]:
        rows = await tx.connection.fetch(QUERIES["lock_parked_keys"], self._consumer, topic, list(keys))
        return {row["key"] for row in rows}

    async def _round(self, tx: Tx, items: list[Item], work: _Work, *, careful: bool) -> None:
        """Applies, parks or drops each item."""
        by_handler: dict[str, list[tuple[Item, IncomingEvent[Any]]]] = {}
        for item in items:
            event = self._event_to_apply(tx, item, work)
            if event is not None:
                by_handler.setdefault(event.event.type, []).append((item, event))
        for event_type, group in by_handler.items():
            handler = self._handlers[event_type]
            results = await apply(tx, handler, [event for _, event in group], careful=careful)
            for (item, _), result in zip(group, results, strict=True):
                if isinstance(result, Fault):
                    self._park(item.record, item.key, result, work)
                    continue
                work.counts["applied"] += 1
                if isinstance(result, Refused):
                    work.refused.append(item.record.offset)

    def _event_to_apply(self, tx: Tx, item: Item, work: _Work) -> IncomingEvent[Any] | None:
        """The item's event, unless the item is parked or dropped here."""
        event = item.event
        if item.key in work.parked or event is None:
            self._park(item.record, item.key, item.fault, work)
            return None
        identity = (event.event.source, event.id)
        assert item.handler is not None  # noqa: S101  (an event always has one)
        late = is_duplicate(tx, event) and not is_awaited(tx, item.handler, event, work.standing)
        if late or identity in work.known:
            work.counts["duplicate"] += 1
            return None
        if leap := leap_of(tx, event):
            self._park(item.record, item.key, leap, work)
            return None
        if event.ordinal is None:
            work.known.add(identity)
        if begins_below(tx, event):
            EPOCH_OVERLAPS.labels(self._consumer).inc()
            log.critical(
                "a restored service has forgotten events",
                source=event.event.source,
                subject=event.subject,
                applied=tx.last_ordinal(event.subject, event.event.source),
                begins=event.ordinal,
            )
        return event

    def _park(self, record: RawRecord, key: str, fault: Fault | None, work: _Work) -> None:
        """Parks the key with the record, or the record behind its parked key."""
        if key in work.parked:
            work.records.park_behind(record, key)
            work.counts["parked"] += 1
            return
        assert fault is not None  # noqa: S101  (an item without an event always has a fault)
        work.records.park(record, key, fault)
        work.parked.add(key)
        work.counts["dead" if fault.permanent else "parked"] += 1

    def _give_up_unreadable(self, unreadable: Sequence[tuple[RawRecord, Fault]], work: _Work) -> None:
        """One dead letter for all records of the batch that nobody can read for the same reason."""
        by_error: dict[str, list[tuple[RawRecord, Fault]]] = {}
        for record, fault in unreadable:
            by_error.setdefault(fault.error, []).append((record, fault))
        for group in by_error.values():
            work.records.give_up([record for record, _ in group], None, group[0][1], attempts=1)
        work.counts["dead"] += len(unreadable)

    def _resolve_all(
        self, records: Sequence[RawRecord], counts: Counter[str]
    ) -> tuple[list[Item], list[tuple[RawRecord, Fault]]]:
        """The items to apply, and the records whose key cannot be read, with the fault."""
        items: list[Item] = []
        unreadable: list[tuple[RawRecord, Fault]] = []
        for record in records:
            match = resolve_or_fault(record, self._handlers, self._database.clock)
            if match is None:
                counts["skipped"] += 1
            elif not isinstance(match, Fault):
                items.append(Item(record, match.event.subject, match.locks, match.event, match.handler))
            elif (key := peek_field(record, "subject")) is not None:
                items.append(Item(record, key, (key,), fault=match))
            else:
                unreadable.append((record, match))
        return items, unreadable


def _concerns_all(error: Exception) -> bool:
    """Whether no record is to blame: the batch stops or waits."""
    return isinstance(error, Stale | Flood) or is_infrastructure(error)
