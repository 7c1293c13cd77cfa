"""Retries failed events. A failed event blocks later events of the same key, and no others.

Parked events are applied in the order in which they were parked, so the order per key is kept. There are no
retry topics and no dead letter topics. Locks are taken in the order cursor, parked key, aggregates, timers.
"""

import asyncio
from enum import Enum
from typing import NamedTuple

from shared import sql
from shared.clock import machine_now
from shared.inbox.handlers import Fault, Handlers
from shared.inbox.parked_records import ParkedRecords, next_attempt
from shared.inbox.resolving import HandlerMatch, resolve_or_fault
from shared.inbox.rounds import apply, is_awaited, is_duplicate, known_actions, leap_of, standing_waits
from shared.infrastructure import is_infrastructure, is_passing
from shared.kafka.records import RawRecord
from shared.logs import about, get_logger
from shared.metrics import DEAD_LETTERS, PARKED_KEYS
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Expectation
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)

MAX_ATTEMPTS = 8
# Of one key in one transaction.
_AT_ONCE = 100


class _Retried(Enum):
    """What came of a key: it is free, its first event failed or is not due, or it has more events."""

    FREED = "freed"
    WAITS = "waits"
    HAS_MORE = "has more"


class _Parked(NamedTuple):
    """A parked event, with its place among those of its key."""

    arrival: int
    record: RawRecord


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
        return sum([await self._retry_or_postpone(row["topic"], row["key"]) for row in due])

    async def _retry_or_postpone(self, topic: str, key: str) -> bool:
        """Whether the key became free. One whose failure cannot even be recorded waits five minutes."""
        try:
            return await self._retry_or_record(topic, key) is _Retried.FREED
        except Exception as error:
            if is_infrastructure(error):
                raise
            with about(key):
                log.exception("parked key stays", consumer=self._consumer, topic=topic, key=key)
        await self._database.pool.execute(
            QUERIES["postpone_key"], self._consumer, topic, key, next_attempt(MAX_ATTEMPTS * 2)
        )
        return False

    async def _retry_or_record(self, topic: str, key: str) -> _Retried:
        try:
            return await self._retry(topic, key, _AT_ONCE)
        except Exception as error:
            if is_infrastructure(error):
                raise
            # Raised at the end of the transaction, since a handler's errors are caught before. For example a
            # partition batch has applied the action under another subject; the next attempt knows it.
            log.warning("parked events fail together and are applied one by one", exc_info=error)
        for _ in range(_AT_ONCE):
            try:
                outcome = await self._retry(topic, key, 1)
            except Exception as error:
                if is_infrastructure(error):
                    raise
                with about(key):
                    log.exception("parked key fails", consumer=self._consumer, topic=topic, key=key)
                return await self._record(topic, key, Fault.of(error))
            if outcome is not _Retried.HAS_MORE:
                return outcome
        return _Retried.HAS_MORE

    async def _record(self, topic: str, key: str, fault: Fault) -> _Retried:
        """Notes that the first event of the key failed."""
        async with self._database.transaction() as tx:
            attempts, events = await self._claim(tx, topic, key, 1)
            if events:
                await tx.lock([key])
                await self._failed(tx, events[0].record, key, fault, attempts + 1)
        return _Retried.WAITS

    async def _retry(self, topic: str, key: str, limit: int) -> _Retried:
        """Applies up to `limit` events of the key in one transaction."""
        parked_key = (self._consumer, topic, key)
        async with self._database.transaction() as tx:
            attempts, events = await self._claim(tx, topic, key, limit)
            if not events:
                return _Retried.WAITS
            matches = [resolve_or_fault(each.record, self._handlers, self._database.clock) for each in events]
            readable = [match for match in matches if isinstance(match, HandlerMatch)]
            await tx.lock({key, *(aggregate for match in readable for aggregate in match.locks)})
            for match in readable:
                if match.handler.contract.is_erasure:
                    tx.erase(match.event.subject)
            known = await known_actions(tx, (match.event for match in readable))
            standing = await standing_waits(tx, ((match.handler, match.event) for match in readable))
            for number, (parked, found) in enumerate(zip(events, matches, strict=True)):
                fault = await self._apply_one(tx, found, known, standing)
                if fault is not None:
                    # `attempts` counts those of the first event: its successor starts at 0.
                    earlier = attempts if number == 0 else 0
                    await self._failed(tx, parked.record, key, fault, earlier + 1)
                    return _Retried.WAITS
                await tx.connection.execute(QUERIES["delete_parked_events"], *parked_key, parked.arrival)
            if await tx.connection.execute(QUERIES["free_key_if_empty"], *parked_key) == "DELETE 1":
                return _Retried.FREED
            await tx.connection.execute(QUERIES["continue_key"], *parked_key)
            return _Retried.HAS_MORE

    async def _claim(self, tx: Tx, topic: str, key: str, limit: int) -> tuple[int, list[_Parked]]:
        """Locks a due key: its attempts so far and its first events; no events if it is no longer due."""
        parked_key = (self._consumer, topic, key)
        attempts = await tx.connection.fetchval(QUERIES["claim_parked_key"], *parked_key, machine_now())
        if attempts is None:
            return 0, []
        rows = await tx.connection.fetch(QUERIES["parked_events"], *parked_key, limit)
        return attempts, [
            _Parked(
                row["arrival"],
                RawRecord(
                    topic,
                    row["partition"],
                    row["offset"],
                    row["appended_ms"],
                    row["record_key"],
                    row["value"],
                    (("words", row["words"]),) if row["words"] is not None else (),
                ),
            )
            for row in rows
        ]

    async def _failed(self, tx: Tx, record: RawRecord, key: str, fault: Fault, attempts: int) -> None:
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
            given_up = ParkedRecords(tx, self._consumer)
            given_up.give_up([record], key, fault, attempts=attempts)
            await given_up.write()

    async def _apply_one(
        self,
        tx: Tx,
        match: HandlerMatch | Fault | None,
        known: set[tuple[str, str]],
        standing: set[Expectation],
    ) -> Fault | None:
        if match is None or isinstance(match, Fault):
            return match
        event = match.event
        identity = (event.event.source, event.id)
        if event.ordinal is None and identity in known:
            return None
        if is_duplicate(tx, event) and not is_awaited(tx, match.handler, event, standing):
            return None
        if leap := leap_of(tx, event):
            return leap
        result = (await apply(tx, match.handler, [event], careful=True))[0]
        if isinstance(result, Fault):
            return result
        if event.ordinal is None:
            known.add(identity)
        return None
