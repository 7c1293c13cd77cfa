"""What an operator does about a dead letter: look, try its key again, or give the event up.

Either way the key goes on in order: behind a dead letter everything of its key waits in the table of parked
events, and the parking loop takes it up from there.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from shared import sql
from shared.clock import machine_now
from shared.contracts.registry import by_writer
from shared.errors import CivicloomError, Conflict, Permanent
from shared.events.decoding import IncomingEvent, contract_of, decode, unreadable_subject
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from shared.unit_of_work.erasure import bytes_to_keep
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")


class NoSuchDeadLetter(CivicloomError):
    """The service has no dead letter of this number."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `waiting` counts the events of its key that wait, itself included.

    `erased`: what could hold words is gone, since it is resolved or its case is erased.
    """

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    key: str | None
    event_type: str | None
    error: str
    detail: str
    attempts: int
    recorded_at: dt.datetime
    resolution: str | None
    resolved_by: str | None
    reason: str | None
    erased: bool
    waiting: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """What stood on the topic, as it stood; once `erased`, without words."""

    value: bytes | None
    words: bytes | None
    erased: bool


@dataclass(frozen=True, slots=True)
class _Open:
    id: int
    consumer: str
    key: str | None
    record: RawRecord

    @property
    def subject(self) -> str:
        return self.key or unreadable_subject(self.record.topic, self.record.partition)


class DeadLetters:
    """The dead letters of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, resolved: bool = False, limit: int = 1000) -> list[DeadLetter]:
        """Open ones, oldest first; with `resolved` all."""
        rows = await self._database.pool.fetch(QUERIES["list_dead_letters"], resolved, limit)
        return [DeadLetter(**dict(row)) for row in rows]

    async def bytes_of(self, number: int) -> Bytes:
        """Value and words. Raises NoSuchDeadLetter."""
        row = await self._database.pool.fetchrow(QUERIES["read_dead_letter"], number)
        if row is None:
            raise NoSuchDeadLetter(f"{self._service} has no dead letter {number}")
        return Bytes(row["value"], row["words"], row["erased"])

    async def replay(self, number: int, operator: str) -> None:
        """Frees the key for new tries, from its first event on.

        Raises NoSuchDeadLetter, or Conflict if it is resolved already or was never parked.
        """
        async with self._database.transaction() as tx:
            letter = await self._lock(tx, number)
            if letter.key is None:
                raise Conflict("these bytes tell no key, so nothing waits behind them: discard them")
            await self._free(tx, letter)
            await self._resolve(tx, letter, "replayed", operator)

    async def discard(self, number: int, operator: str, reason: str) -> None:
        """Gives the event up, says so in an event, and lets its key go on with the next.

        What is discarded counts as seen, so that a second copy of it on the topic is dropped too. Raises
        NoSuchDeadLetter, Conflict if it is resolved already, and ValueError without a reason.
        """
        if not reason.strip():
            raise ValueError("a dead letter is discarded for a reason: say which")
        async with self._database.transaction() as tx:
            letter = await self._lock(tx, number)
            if letter.key is not None:
                place = (letter.consumer, letter.record.topic, letter.key)
                await tx.connection.execute(
                    QUERIES["delete_parked_events"], *place, letter.record.partition, letter.record.offset
                )
                self._count_as_seen(tx, letter)
                if await tx.connection.execute(QUERIES["free_key_if_empty"], *place) != "DELETE 1":
                    await self._free(tx, letter)
            discarded: type[Any] = by_writer(tx.service, "deadletter_discarded")
            facts = discarded(dead_letter=number, operator=operator)
            tx.emit(facts, subject=letter.subject, actor=f"operator:{operator}")
            await self._resolve(tx, letter, "discarded", operator, reason)

    @property
    def _service(self) -> str:
        return self._database.settings.service

    async def _lock(self, tx: Tx, number: int) -> _Open:
        """The open dead letter; its parked key and its aggregate are locked before it, as the loops do."""
        found = await tx.connection.fetchrow(QUERIES["place_of_dead_letter"], number)
        if found is None:
            raise NoSuchDeadLetter(f"{self._service} has no dead letter {number}")
        place = (found["consumer"], found["topic"], found["key"])
        dead = await tx.connection.fetchval(QUERIES["lock_dead_key"], *place)
        await tx.lock([found["key"] or unreadable_subject(found["topic"], found["partition"])])
        row = await tx.connection.fetchrow(QUERIES["lock_dead_letter"], number)
        assert row is not None  # noqa: S101  (dead letters are never deleted)
        if row["resolution"] is not None:
            raise Conflict(f"dead letter {number} is {row['resolution']} already")
        headers = (("words", row["words"]),) if row["words"] is not None else ()
        record = RawRecord(
            row["topic"],
            row["partition"],
            row["offset"],
            row["appended_ms"],
            row["record_key"],
            row["value"],
            headers,
        )
        letter = _Open(row["id"], row["consumer"], row["key"], record)
        if letter.key is not None:
            head = await tx.connection.fetchrow(QUERIES["head_of_key"], *place)
            if not dead or head is None or tuple(head) != (record.partition, record.offset):
                raise Conflict(f"dead letter {number} is not what its key waits for")
        return letter

    async def _resolve(
        self, tx: Tx, letter: _Open, resolution: str, operator: str, reason: str | None = None
    ) -> None:
        kept = bytes_to_keep(letter.record.topic, letter.record.value, letter.key)
        await tx.connection.execute(
            QUERIES["resolve_dead_letter"], letter.id, resolution, operator, reason, kept
        )

    async def _free(self, tx: Tx, letter: _Open) -> None:
        await tx.connection.execute(
            QUERIES["free_dead_key"], letter.consumer, letter.record.topic, letter.key, machine_now()
        )

    def _count_as_seen(self, tx: Tx, letter: _Open) -> None:
        event = self._read(letter.record)
        if event is None or event.subject != letter.key:
            return
        if event.ordinal is None:
            tx.mark_action_processed(event.event.source, event.id)
        else:
            tx.mark_processed(event.subject, event.event.source, event.ordinal)

    def _read(self, record: RawRecord) -> IncomingEvent[Any] | None:
        try:
            contract = contract_of(record.value)
            return decode(record, contract, self._database.clock) if contract else None
        except Permanent:
            # Bytes that are no event of ours have no position either.
            return None
