"""The operator's actions on dead letters: list, show, replay, discard.

After a replay or a discard the key continues in order: all later events of its key are parked, and the
parking loop applies them. Records without a readable key belong to no case: nothing waits behind them, and no
release could say whose they were. So they are only discarded; their sender sends again what matters.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from shared import sql
from shared.clock import machine_now
from shared.contracts.registry import by_writer
from shared.errors import CivicloomError, Conflict, Permanent
from shared.events.decoding import IncomingEvent, contract_of, decode, unreadable_subject
from shared.inbox.floods import PausedPartition, paused_partitions, resume
from shared.inbox.rounds import leap_of
from shared.kafka.records import RawRecord
from shared.unit_of_work.database import Database
from shared.unit_of_work.erasure import bytes_to_keep
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
KEEP_RESOLVED = dt.timedelta(days=400)
"""The reason of a discard is nowhere else: longer than a year, so that a yearly review finds it."""


class NoSuchDeadLetter(CivicloomError):
    """The service has no dead letter of this number."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `waiting` counts the parked events of its key, itself included.

    `erased`: its words are deleted, because it is resolved or its case is erased. It may be several `records`
    without a readable key, between `offset` and `last_offset`.
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
    last_offset: int | None
    records: int
    waiting: int


class Selection(NamedTuple):
    """Open dead letters: all, or those of one topic, with one error, recorded before a moment."""

    topic: str | None = None
    error: str | None = None
    before: dt.datetime | None = None


class Count(NamedTuple):
    """How many dead letters, and how many of them have no key and cannot be replayed."""

    letters: int
    without_key: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """The bytes of the record; once `erased`, without words. Of several `records`, those of the first.

    The others are between `offset` and `last_offset` on the partition, for the topic's retention.
    """

    value: bytes | None
    words: bytes | None
    erased: bool
    topic: str
    partition: int
    offset: int
    last_offset: int | None
    records: int


@dataclass(frozen=True, slots=True)
class _OpenLetter:
    id: int
    consumer: str
    key: str | None
    record: RawRecord
    arrival: int | None
    """Of the parked event that it is about; None without a key."""

    @property
    def subject(self) -> str:
        return self.key or unreadable_subject(self.record.topic, self.record.partition)


class DeadLetters:
    """The dead letters of one service."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, resolved: bool = False, limit: int = 1000, after: int = 0) -> list[DeadLetter]:
        """Open dead letters, oldest first, with `resolved` the resolved ones too.

        A page: at most `limit` of them, with numbers above `after`.
        """
        rows = await self._database.pool.fetch(QUERIES["list_dead_letters"], resolved, limit, after)
        return [DeadLetter(**dict(row)) for row in rows]

    async def bytes_of(self, number: int) -> Bytes:
        """Value and words. Raises NoSuchDeadLetter."""
        row = await self._database.pool.fetchrow(QUERIES["read_dead_letter"], number)
        if row is None:
            raise self._no_such(number)
        return Bytes(**dict(row))

    async def count(self, selection: Selection) -> Count:
        """How many open dead letters are selected."""
        row = await self._database.pool.fetchrow(QUERIES["count_dead_letters"], *selection)
        assert row is not None  # noqa: S101  (a count is always one row)
        return Count(row["letters"], row["without_key"])

    async def replay(self, number: int, operator: str) -> None:
        """Frees the key for new attempts, starting with its first event.

        Raises NoSuchDeadLetter, and Conflict if it is resolved already or has no key to retry.
        """
        async with self._database.transaction() as tx:
            await self._replay(tx, [await self._lock_one(tx, number)], operator)

    async def discard(self, number: int, operator: str, reason: str) -> None:
        """Drops the event, emits an event about it, and frees its key for the next event.

        A discarded event counts as processed, so that a second copy on the topic is dropped too; one that
        leaps in its sequence does not. Raises NoSuchDeadLetter, Conflict if it is resolved already, and
        ValueError for an empty reason.
        """
        _check_reason(reason)
        async with self._database.transaction() as tx:
            await self._discard(tx, [await self._lock_one(tx, number)], operator, reason)

    async def replay_all(self, selection: Selection, operator: str) -> int:
        """`replay` of all that are selected and have a key; their number."""

        async def replay(tx: Tx, letters: Sequence[_OpenLetter]) -> int:
            return await self._replay(tx, [each for each in letters if each.key is not None], operator)

        return await self._for_all(selection, replay)

    async def discard_all(self, selection: Selection, operator: str, reason: str) -> int:
        """`discard` of all that are selected; their number. Raises ValueError for an empty reason."""
        _check_reason(reason)

        async def discard(tx: Tx, letters: Sequence[_OpenLetter]) -> int:
            return await self._discard(tx, letters, operator, reason)

        return await self._for_all(selection, discard)

    async def paused(self) -> Sequence[PausedPartition]:
        """The partitions that are not read for some time, since too many of their records are bad."""
        return await paused_partitions(self._database.pool)

    async def resume(self, topic: str, *, allow: int = 0) -> int:
        """Ends the pauses of a topic; see `shared.inbox.floods`."""
        return await resume(self._database.pool, topic, allow=allow)

    @property
    def _service(self) -> str:
        return self._database.settings.service

    def _no_such(self, number: int) -> NoSuchDeadLetter:
        return NoSuchDeadLetter(f"{self._service} has no dead letter {number}")

    async def _for_all(
        self, selection: Selection, work: Callable[[Tx, Sequence[_OpenLetter]], Awaitable[int]]
    ) -> int:
        """Some hundred letters per transaction, so that no batch waits long for its keys."""
        done = last = 0
        while True:
            rows = await self._database.pool.fetch(QUERIES["matching_dead_letters"], *selection, last)
            if not rows:
                return done
            numbers = [row["id"] for row in rows]
            last = numbers[-1]
            async with self._database.transaction() as tx:
                done += await work(tx, (await self._lock(tx, numbers))[0])

    async def _replay(self, tx: Tx, letters: Sequence[_OpenLetter], operator: str) -> int:
        if any(letter.key is None for letter in letters):
            raise Conflict("these bytes have no readable key, so nothing waits behind them: discard them")
        await self._free(tx, letters)
        await self._resolve(tx, letters, "replayed", operator)
        return len(letters)

    async def _discard(self, tx: Tx, letters: Sequence[_OpenLetter], operator: str, reason: str) -> int:
        heads = [letter for letter in letters if letter.key is not None]
        await tx.connection.execute(
            QUERIES["delete_parked_heads"], *_keys_of(heads), [letter.arrival for letter in heads]
        )
        for letter in heads:
            self._mark_processed(tx, letter)
        await tx.connection.execute(QUERIES["delete_empty_keys"], *_keys_of(heads))
        await self._free(tx, heads)
        data_type: type[Any] = by_writer(tx.service, "deadletter_discarded")
        for letter in letters:
            data = data_type(dead_letter=letter.id, operator=operator)
            tx.emit(data, subject=letter.subject, actor=f"operator:{operator}")
        await self._resolve(tx, letters, "discarded", operator, reason)
        return len(letters)

    async def _lock_one(self, tx: Tx, number: int) -> _OpenLetter:
        """Raises NoSuchDeadLetter, and Conflict if it cannot be resolved."""
        letters, refused = await self._lock(tx, [number])
        if number in refused:
            raise Conflict(f"dead letter {number} {refused[number]}")
        if not letters:
            raise self._no_such(number)
        return letters[0]

    async def _lock(self, tx: Tx, numbers: Sequence[int]) -> tuple[Sequence[_OpenLetter], dict[int, str]]:
        """The open ones of these dead letters, and why others cannot be resolved.

        Their parked keys and aggregates are locked first, in the order of the loops.
        """
        found = await tx.connection.fetch(QUERIES["keys_of_dead_letters"], numbers)
        await tx.connection.execute(QUERIES["lock_dead_keys"], numbers)
        await tx.lock(row["key"] or unreadable_subject(row["topic"], row["partition"]) for row in found)
        letters = []
        refused: dict[int, str] = {}
        for row in await tx.connection.fetch(QUERIES["lock_dead_letters"], numbers):
            if row["resolution"] is not None:
                refused[row["id"]] = f"is already {row['resolution']}"
            elif row["key"] is not None and row["arrival"] is None:
                refused[row["id"]] = "is not the first parked event of its key"
            else:
                letters.append(_open_letter(row))
        return letters, refused

    async def _resolve(
        self,
        tx: Tx,
        letters: Sequence[_OpenLetter],
        resolution: str,
        operator: str,
        reason: str | None = None,
    ) -> None:
        await tx.connection.execute(
            QUERIES["resolve_dead_letters"],
            [letter.id for letter in letters],
            [bytes_to_keep(each.record.topic, each.record.value, each.key) for each in letters],
            resolution,
            operator,
            reason,
            machine_now(),
        )

    async def _free(self, tx: Tx, letters: Sequence[_OpenLetter]) -> None:
        await tx.connection.execute(QUERIES["free_dead_keys"], *_keys_of(letters), machine_now())

    def _mark_processed(self, tx: Tx, letter: _OpenLetter) -> None:
        event = self._decode(letter.record)
        if event is None or event.subject != letter.key:
            return
        if event.ordinal is None:
            tx.mark_action_processed(event.event.source, event.id)
        elif leap_of(tx, event) is None:  # else all that is true would pass for processed
            tx.mark_processed(event.subject, event.event.source, event.ordinal)

    def _decode(self, record: RawRecord) -> IncomingEvent[Any] | None:
        try:
            contract = contract_of(record.value)
            return decode(record, contract, self._database.clock) if contract else None
        except Permanent:
            # Bytes that are no event have no sequence either.
            return None


async def prune_dead_letters(pool: asyncpg.Pool) -> None:
    """Deletes dead letters that were resolved long ago; some at a time."""
    now = machine_now()
    await pool.execute(QUERIES["date_resolved_letters"], now)
    await pool.execute(QUERIES["prune_dead_letters"], now - KEEP_RESOLVED)


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ValueError("discarding a dead letter needs a reason")


def _keys_of(letters: Sequence[_OpenLetter]) -> tuple[list[str], list[str], list[str | None]]:
    """Consumers, topics and keys."""
    return (
        [letter.consumer for letter in letters],
        [letter.record.topic for letter in letters],
        [letter.key for letter in letters],
    )


def _open_letter(row: asyncpg.Record) -> _OpenLetter:
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
    return _OpenLetter(row["id"], row["consumer"], row["key"], record, row["arrival"])
