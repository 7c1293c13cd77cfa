"""Retries failed events. A failed event blocks later events of the same key, and no others.

Parked events are applied in the order in which they were parked, so the order per key is kept. There are no
retry topics and no dead letter topics. Locks are taken in the order cursor, parked key, aggregates, timers.
"""

import asyncio
import datetime as dt
from typing import Any

import orjson

from shared import sql
from shared.clock import machine_now
from shared.contracts.base import EventData
from shared.contracts.registry import by_writer
from shared.errors import Permanent, Undecodable
from shared.events.decoding import peek_type, unreadable_subject
from shared.inbox.handlers import Fault, Handlers
from shared.inbox.resolving import HandlerMatch, resolve
from shared.inbox.rounds import apply, is_duplicate, known_actions
from shared.infrastructure import is_infrastructure, is_passing
from shared.kafka.records import RawRecord
from shared.logs import about, get_logger
from shared.metrics import DEAD_LETTERS, PARKED_KEYS
from shared.unit_of_work.database import Database
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)

MAX_ATTEMPTS = 8
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0


def next_attempt(attempts: int) -> dt.datetime:
    """Machine time of the next attempt: after 1, 2, 4 ... seconds, at most five minutes. `attempts` >= 1."""
    seconds = min(_FIRST_WAIT_SECONDS * 2 ** (attempts - 1), _LONGEST_WAIT_SECONDS)
    return machine_now() + dt.timedelta(seconds=seconds)


async def park(tx: Tx, consumer: str, record: RawRecord, key: str, fault: Fault) -> None:
    """Parks the key with its first event; a permanent fault becomes a dead letter at once."""
    await tx.connection.execute(
        QUERIES["park_key"], consumer, record.topic, key, fault.error, 1, next_attempt(1), fault.permanent
    )
    await park_behind(tx, consumer, record, key)
    if fault.permanent:
        await record_dead_letter(tx, consumer, record, key, fault, attempts=1)


async def park_behind(tx: Tx, consumer: str, record: RawRecord, key: str) -> None:
    """Stores a later event of a parked key, as bytes."""
    await tx.connection.execute(
        QUERIES["park_event"],
        consumer,
        record.topic,
        key,
        record.partition,
        record.offset,
        record.timestamp_ms,
        record.key,
        record.value,
        record.header("words"),
    )
    tx.redact_if_erased(key)


async def record_dead_letter(
    tx: Tx, consumer: str, record: RawRecord, key: str | None, fault: Fault, *, attempts: int
) -> None:
    """Stores the bytes for an operator and emits an event about it; the subject must be locked in `tx`."""
    event_type, event_id = _claimed_type_and_id(record)
    await tx.connection.fetchval(
        QUERIES["insert_dead_letter"],
        consumer,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp_ms,
        key,
        event_type,
        record.key,
        record.value,
        record.header("words"),
        fault.error,
        fault.detail,
        attempts,
        tx.now,
    )
    if key is not None:
        tx.redact_if_erased(key)
    data_type: type[Any] = by_writer(tx.service, "deadletter_recorded")
    data: EventData = data_type(
        consumer=consumer,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=event_id,
        error=fault.error,
    )
    subject = key or unreadable_subject(record.topic, record.partition)
    tx.emit(data, subject=subject, actor=f"service:{tx.service}")


class Parking:
    """The loop that retries the parked keys of one consumer, each in its own transaction."""

    def __init__(self, database: Database, consumer: str, handlers: Handlers) -> None:
        self._database = database
        self._consumer = consumer
        self._handlers = handlers

    async def run(self) -> None:
        """Retries once a second until cancelled. Infrastructure faults are waited out."""
        while True:
            try:
                await self.once()
                await self.measure()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("parked keys wait", error=repr(error))
            await asyncio.sleep(1)

    async def measure(self) -> tuple[int, int]:
        """Counts parked keys and open dead letters, and sets the metrics."""
        row = await self._database.pool.fetchrow(QUERIES["count_parked"], self._consumer)
        assert row is not None  # noqa: S101  (two counts are always one row)
        PARKED_KEYS.labels(self._consumer).set(row["keys"])
        DEAD_LETTERS.labels(self._consumer).set(row["dead"])
        return row["keys"], row["dead"]

    async def once(self) -> int:
        """Retries every key that is due; the number of keys that became free."""
        due = await self._database.pool.fetch(QUERIES["due_parked_keys"], self._consumer, machine_now())
        return sum([await self._retry_or_record(row["topic"], row["key"]) for row in due])

    async def _retry_or_record(self, topic: str, key: str) -> bool:
        try:
            return await self._retry(topic, key)
        except Exception as error:
            if is_infrastructure(error):
                raise
            # Raised at the end of the transaction, since a handler's errors are caught before. For example a
            # partition batch has applied the action under another subject; the next attempt knows it.
            with about(key):
                log.exception("parked key fails", consumer=self._consumer, topic=topic, key=key)
            fault = Fault(type(error).__name__, str(error)[:2000])
        async with self._database.transaction() as tx:
            attempts, records = await self._claim(tx, topic, key)
            if records:
                await tx.lock([key])
                await self._failed(tx, records[0], key, fault, attempts + 1)
        return False

    async def _retry(self, topic: str, key: str) -> bool:
        async with self._database.transaction() as tx:
            attempts, records = await self._claim(tx, topic, key)
            if not records:
                return False
            matches = self._readable(records)
            await tx.lock({key, *(aggregate for match in matches for aggregate in match.locks)})
            for match in matches:
                if match.handler.contract.is_erasure:
                    tx.erase(match.event.subject)
            known = await known_actions(tx, (match.event for match in matches))
            for record in records:
                fault = await self._apply_one(tx, record, known)
                if fault is not None:
                    # `attempts` counts those of the first event: its successor starts at 0.
                    earlier = attempts if record is records[0] else 0
                    return await self._failed(tx, record, key, fault, earlier + 1)
                await tx.connection.execute(
                    QUERIES["delete_parked_events"],
                    self._consumer,
                    topic,
                    key,
                    record.partition,
                    record.offset,
                )
            freed = await tx.connection.execute(QUERIES["free_key_if_empty"], self._consumer, topic, key)
            return bool(freed == "DELETE 1")

    async def _claim(self, tx: Tx, topic: str, key: str) -> tuple[int, list[RawRecord]]:
        """Locks a due key: its attempts so far and its first events; no events if it is no longer due."""
        parked_key = (self._consumer, topic, key)
        attempts = await tx.connection.fetchval(QUERIES["claim_parked_key"], *parked_key, machine_now())
        if attempts is None:
            return 0, []
        rows = await tx.connection.fetch(QUERIES["parked_events"], *parked_key)
        return attempts, [
            RawRecord(
                topic,
                row["partition"],
                row["offset"],
                row["appended_ms"],
                row["record_key"],
                row["value"],
                (("words", row["words"]),) if row["words"] is not None else (),
            )
            for row in rows
        ]

    async def _failed(self, tx: Tx, record: RawRecord, key: str, fault: Fault, attempts: int) -> bool:
        dead = fault.permanent or attempts >= MAX_ATTEMPTS
        await tx.connection.execute(
            QUERIES["try_key_again_at"],
            self._consumer,
            record.topic,
            key,
            attempts,
            next_attempt(attempts),
            fault.error,
            dead,
        )
        if dead:
            await record_dead_letter(tx, self._consumer, record, key, fault, attempts=attempts)
        return False

    def _readable(self, records: list[RawRecord]) -> list[HandlerMatch]:
        matches = []
        for record in records:
            try:
                match = resolve(record, self._handlers, self._database.clock)
            except Permanent:
                continue
            if match is not None:
                matches.append(match)
        return matches

    async def _apply_one(self, tx: Tx, record: RawRecord, known: set[tuple[str, str]]) -> Fault | None:
        try:
            match = resolve(record, self._handlers, self._database.clock)
        except Permanent as error:
            # A newer major version waits for an upgrade; undecodable bytes never become an event.
            return Fault(type(error).__name__, str(error), permanent=isinstance(error, Undecodable))
        if match is None or is_duplicate(tx, match.event):
            return None
        event = match.event
        identity = (event.event.source, event.id)
        if event.ordinal is None and identity in known:
            return None
        fault = (await apply(tx, match.handler, [event], careful=True))[0]
        if fault is None and event.ordinal is None:
            known.add(identity)
        return fault


def _claimed_type_and_id(record: RawRecord) -> tuple[str | None, str | None]:
    """Type and id as the bytes have them, cut to what the table holds; None where they have none."""
    try:
        event_type = peek_type(record.value or b"")
        found = orjson.loads(record.value or b"")
    except (Undecodable, orjson.JSONDecodeError):
        return None, None
    event_id = found.get("id")
    has_id = isinstance(event_id, str) and "\x00" not in event_id
    return event_type.replace("\x00", "")[:200], event_id[:200] if has_id else None
