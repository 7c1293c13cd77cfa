"""Applies a batch of one partition in one transaction, together with the move of its cursor row."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from shared import sql
from shared.errors import Permanent, Stale, UnknownVersion
from shared.events.decoding import IncomingEvent, peek_field, unreadable_subject
from shared.inbox.handlers import Fault, Handlers
from shared.inbox.parking import park, park_behind, record_dead_letter
from shared.inbox.resolving import resolve
from shared.inbox.rounds import Item, apply, begins_below, in_rounds, is_duplicate, known_actions
from shared.infrastructure import is_infrastructure
from shared.kafka.records import RawRecord
from shared.logs import get_logger
from shared.metrics import BATCH_SECONDS, EPOCH_OVERLAPS, EVENTS
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)


class OffsetGap(Stale):
    """The cursor is before the first record: the records in between were not applied."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"the cursor is at {next_offset}, before the fetched records")
        self.next_offset = next_offset


class AlreadyConsumed(Stale):
    """The cursor is behind the first record: it was applied before, or the log was truncated below it."""

    def __init__(self, next_offset: int) -> None:
        super().__init__(f"the cursor is at {next_offset}, behind the first fetched record")
        self.next_offset = next_offset


class PartitionBatchProcessor:
    """Applies partition batches for one consumer."""

    def __init__(self, database: Database, consumer: str, handlers: Handlers) -> None:
        self._database = database
        self._consumer = consumer
        self._handlers = handlers

    async def process(
        self, records: Sequence[RawRecord], *, accept_gap: bool = False, accept_old: bool = True
    ) -> int:
        """Applies records of one partition, given in offset order, and returns the next offset.

        The first attempt has no savepoints. If an event fails for its own reason, the transaction is rolled
        back and repeated with savepoints, which isolate that event.

        Raises OffsetGap if records before the first one were not applied (unless `accept_gap`: the topic no
        longer has them), AlreadyConsumed if the first one was (unless `accept_old`: such records are then
        dropped), and every fault of the infrastructure.
        """
        started = time.perf_counter()
        try:
            next_offset = await self._transact(records, accept_gap, accept_old, careful=False)
        except Exception as error:
            if isinstance(error, Stale) or is_infrastructure(error):
                raise
            next_offset = await self._transact(records, accept_gap, accept_old, careful=True)
        BATCH_SECONDS.labels(self._consumer).observe(time.perf_counter() - started)
        return next_offset

    async def reset_cursor(self, topic: str, partition: int, *, cursor: int, begin: int) -> None:
        """Moves the cursor back to `begin`, for a log that ends before it.

        Events that were applied are recognised by sequence or id. Parked events get offsets below all new
        ones, so that they keep their order before them. Raises Stale if the cursor is no longer at `cursor`.
        """
        owner = (self._consumer, topic, partition)
        async with self._database.transaction() as tx:
            if await tx.connection.fetchval(QUERIES["lock_cursor"], *owner) != cursor:
                raise Stale("another replica has moved the cursor")
            await tx.connection.execute(QUERIES["advance_cursor"], *owner, begin)
            first = await tx.connection.fetchval(QUERIES["first_parked_offset"], *owner)
            if first is not None:
                shift = cursor - min(first, 0)
                await tx.connection.execute(QUERIES["move_parked_events"], *owner, shift)
                await tx.connection.execute(QUERIES["move_dead_letters"], *owner, shift)

    async def _transact(
        self, records: Sequence[RawRecord], accept_gap: bool, accept_old: bool, *, careful: bool
    ) -> int:
        async with self._database.transaction() as tx:
            fresh = await self._after_cursor(tx, records, accept_gap=accept_gap, accept_old=accept_old)
            next_offset = records[-1].offset + 1
            if not fresh:
                return next_offset
            counts = await self._apply(tx, fresh, careful=careful)
            await tx.connection.execute(
                QUERIES["advance_cursor"], self._consumer, records[0].topic, records[0].partition, next_offset
            )
        for outcome, count in counts.items():
            if count:
                EVENTS.labels(self._consumer, outcome).inc(count)
        return next_offset

    async def _after_cursor(
        self, tx: Tx, records: Sequence[RawRecord], *, accept_gap: bool, accept_old: bool
    ) -> Sequence[RawRecord]:
        """Locks the cursor; the records from it on. Raises OffsetGap or AlreadyConsumed, see `process`."""
        first = records[0]
        owner = (self._consumer, first.topic, first.partition)
        next_offset = await tx.connection.fetchval(QUERIES["lock_cursor"], *owner)
        if next_offset is None:
            # A new consumer reads every topic from its beginning, whatever offset is committed in Kafka.
            await tx.connection.execute(QUERIES["start_cursor"], *owner, 0)
            next_offset = await tx.connection.fetchval(QUERIES["lock_cursor"], *owner)
        if next_offset < first.offset and not accept_gap:
            raise OffsetGap(next_offset)
        if next_offset > first.offset and not accept_old:
            raise AlreadyConsumed(next_offset)
        return [record for record in records if record.offset >= next_offset]

    async def _apply(self, tx: Tx, records: Sequence[RawRecord], *, careful: bool) -> Counter[str]:
        counts: Counter[str] = Counter()
        items, unreadable = self._resolve_all(records, counts)
        if not items and not unreadable:
            return counts
        keys = list({item.key for item in items})
        rows = await tx.connection.fetch(QUERIES["lock_parked_keys"], self._consumer, records[0].topic, keys)
        parked = {row["key"] for row in rows}
        locks = {aggregate for item in items for aggregate in item.locks}
        locks.update(unreadable_subject(record.topic, record.partition) for record, _ in unreadable)
        await tx.lock(locks)
        for item in items:
            # Even if the event is not applied now, but only joins its parked key.
            if item.handler is not None and item.handler.contract.is_erasure:
                tx.erase(item.key)
        for record, fault in unreadable:
            await record_dead_letter(tx, self._consumer, record, None, fault, attempts=1)
            counts["dead"] += 1
        known = await known_actions(tx, (item.event for item in items if item.event is not None))
        for independent in in_rounds(items):
            await self._round(tx, independent, parked, known, counts, careful=careful)
        return counts

    async def _round(
        self,
        tx: Tx,
        items: list[Item],
        parked: set[str],
        known: set[tuple[str, str]],
        counts: Counter[str],
        *,
        careful: bool,
    ) -> None:
        """Applies, parks or drops each item; `parked`, `known` and `counts` are updated."""
        by_handler: dict[str, list[tuple[Item, IncomingEvent[Any]]]] = {}
        for item in items:
            event = await self._event_to_apply(tx, item, parked, known, counts)
            if event is not None:
                by_handler.setdefault(event.event.type, []).append((item, event))
        for event_type, group in by_handler.items():
            handler = self._handlers[event_type]
            faults = await apply(tx, handler, [event for _, event in group], careful=careful)
            for (item, _), fault in zip(group, faults, strict=True):
                if fault is None:
                    counts["applied"] += 1
                else:
                    await self._park(tx, item, fault, parked, counts)

    async def _event_to_apply(
        self, tx: Tx, item: Item, parked: set[str], known: set[tuple[str, str]], counts: Counter[str]
    ) -> IncomingEvent[Any] | None:
        """The item's event, unless the item is parked or dropped here."""
        event = item.event
        if item.key in parked:
            await park_behind(tx, self._consumer, item.record, item.key)
            counts["parked"] += 1
            return None
        if event is None:
            await self._park(tx, item, item.fault, parked, counts)
            return None
        identity = (event.event.source, event.id)
        if is_duplicate(tx, event) or identity in known:
            counts["duplicate"] += 1
            return None
        if event.ordinal is None:
            known.add(identity)
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

    async def _park(
        self, tx: Tx, item: Item, fault: Fault | None, parked: set[str], counts: Counter[str]
    ) -> None:
        assert fault is not None  # noqa: S101  (an item without an event always has a fault)
        await park(tx, self._consumer, item.record, item.key, fault)
        parked.add(item.key)
        counts["dead" if fault.permanent else "parked"] += 1

    def _resolve_all(
        self, records: Sequence[RawRecord], counts: Counter[str]
    ) -> tuple[list[Item], list[tuple[RawRecord, Fault]]]:
        """The items to apply, and the records whose key cannot be read, with the fault."""
        items: list[Item] = []
        unreadable: list[tuple[RawRecord, Fault]] = []
        for record in records:
            try:
                match = resolve(record, self._handlers, self._database.clock)
            except UnknownVersion as error:
                # Not permanent: it waits for an upgrade, and for an operator only after the last attempt.
                fault = Fault(type(error).__name__, str(error))
            except Permanent as error:
                fault = Fault(type(error).__name__, str(error), permanent=True)
            else:
                if match is None:
                    counts["skipped"] += 1
                else:
                    event, handler = match
                    items.append(Item(record, event.subject, match.locks, event, handler))
                continue
            key = peek_field(record, "subject")
            if key is None:
                unreadable.append((record, fault))
            else:
                items.append(Item(record, key, (key,), fault=fault))
        return items, unreadable
