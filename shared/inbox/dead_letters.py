"""The operator's actions on dead letters: list, show, replay, discard.

After a replay or a discard the key continues in order: all later events of its key are parked, and the
parking loop applies them.
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
    """One dead letter. `waiting` counts the parked events of its key, itself included.

    `erased`: its words are deleted, because it is resolved or its case is erased.
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
    """The bytes of the record; once `erased`, without words."""

    value: bytes | None
    words: bytes | None
    erased: bool


@dataclass(frozen=True, slots=True)
class _OpenLetter:
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
        """Open dead letters, oldest first, at most `limit`; with `resolved` the resolved ones too."""
        rows = await self._database.pool.fetch(QUERIES["list_dead_letters"], resolved, limit)
        return [DeadLetter(**dict(row)) for row in rows]

    async def bytes_of(self, number: int) -> Bytes:
        """Value and words. Raises NoSuchDeadLetter."""
        row = await self._database.pool.fetchrow(QUERIES["read_dead_letter"], number)
        if row is None:
            raise NoSuchDeadLetter(f"{self._service} has no dead letter {number}")
        return Bytes(row["value"], row["words"], row["erased"])

    async def replay(self, number: int, operator: str) -> None:
        """Frees the key for new attempts, starting with its first event.

        Raises NoSuchDeadLetter, and Conflict if it is resolved already or has no key to retry.
        """
        async with self._database.transaction() as tx:
            letter = await self._lock(tx, number)
            if letter.key is None:
                raise Conflict("these bytes have no readable key, so nothing waits behind them: discard them")
            await self._free(tx, letter)
            await self._resolve(tx, letter, "replayed", operator)

    async def discard(self, number: int, operator: str, reason: str) -> None:
        """Drops the event, emits an event about it, and frees its key for the next event.

        A discarded event counts as processed, so that a second copy on the topic is dropped too. Raises
        NoSuchDeadLetter, Conflict if it is resolved already, and ValueError for an empty reason.
        """
        if not reason.strip():
            raise ValueError("discarding a dead letter needs a reason")
        async with self._database.transaction() as tx:
            letter = await self._lock(tx, number)
            if letter.key is not None:
                parked_key = (letter.consumer, letter.record.topic, letter.key)
                await tx.connection.execute(
                    QUERIES["delete_parked_events"],
                    *parked_key,
                    letter.record.partition,
                    letter.record.offset,
                )
                self._mark_processed(tx, letter)
                if await tx.connection.execute(QUERIES["free_key_if_empty"], *parked_key) != "DELETE 1":
                    await self._free(tx, letter)
            data_type: type[Any] = by_writer(tx.service, "deadletter_discarded")
            data = data_type(dead_letter=number, operator=operator)
            tx.emit(data, subject=letter.subject, actor=f"operator:{operator}")
            await self._resolve(tx, letter, "discarded", operator, reason)

    @property
    def _service(self) -> str:
        return self._database.settings.service

    async def _lock(self, tx: Tx, number: int) -> _OpenLetter:
        """The open dead letter. Its parked key and aggregate are locked first, in the order of the loops."""
        found = await tx.connection.fetchrow(QUERIES["key_of_dead_letter"], number)
        if found is None:
            raise NoSuchDeadLetter(f"{self._service} has no dead letter {number}")
        parked_key = (found["consumer"], found["topic"], found["key"])
        dead = await tx.connection.fetchval(QUERIES["lock_dead_key"], *parked_key)
        await tx.lock([found["key"] or unreadable_subject(found["topic"], found["partition"])])
        row = await tx.connection.fetchrow(QUERIES["lock_dead_letter"], number)
        assert row is not None  # noqa: S101  (dead letters are never deleted)
        if row["resolution"] is not None:
            raise Conflict(f"dead letter {number} is already {row['resolution']}")
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
        letter = _OpenLetter(row["id"], row["consumer"], row["key"], record)
        if letter.key is not None:
            head = await tx.connection.fetchrow(QUERIES["head_of_key"], *parked_key)
            if not dead or head is None or tuple(head) != (record.partition, record.offset):
                raise Conflict(f"dead letter {number} is not the first parked event of its key")
        return letter

    async def _resolve(
        self, tx: Tx, letter: _OpenLetter, resolution: str, operator: str, reason: str | None = None
    ) -> None:
        kept = bytes_to_keep(letter.record.topic, letter.record.value, letter.key)
        await tx.connection.execute(
            QUERIES["resolve_dead_letter"], letter.id, resolution, operator, reason, kept
        )

    async def _free(self, tx: Tx, letter: _OpenLetter) -> None:
        await tx.connection.execute(
            QUERIES["free_dead_key"], letter.consumer, letter.record.topic, letter.key, machine_now()
        )

    def _mark_processed(self, tx: Tx, letter: _OpenLetter) -> None:
        event = self._decode(letter.record)
        if event is None or event.subject != letter.key:
            return
        if event.ordinal is None:
            tx.mark_action_processed(event.event.source, event.id)
        else:
            tx.mark_processed(event.subject, event.event.source, event.ordinal)

    def _decode(self, record: RawRecord) -> IncomingEvent[Any] | None:
        try:
            contract = contract_of(record.value)
            return decode(record, contract, self._database.clock) if contract else None
        except Permanent:
            # Bytes that are no event have no sequence either.
            return None
