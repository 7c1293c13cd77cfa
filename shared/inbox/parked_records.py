"""What one transaction parks or gives up, written at its end with one statement per table.

So a batch of thousands of bad records costs three statements, and not three for each of them.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from shared import sql
from shared.clock import machine_now
from shared.contracts.base import EventData
from shared.contracts.registry import by_writer
from shared.errors import Undecodable
from shared.events.decoding import peek_type, unreadable_subject
from shared.inbox.handlers import Fault
from shared.kafka.records import RawRecord
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 300.0


def next_attempt(attempts: int) -> dt.datetime:
    """Machine time of the next attempt: after 1, 2, 4 ... seconds, at most five minutes. `attempts` >= 1."""
    # Capped before it is a float: an operator may replay a key as often as he likes.
    seconds = min(_FIRST_WAIT_SECONDS * 2 ** min(attempts - 1, 20), _LONGEST_WAIT_SECONDS)
    return machine_now() + dt.timedelta(seconds=seconds)


class _Letter(NamedTuple):
    """`records` in offset order: one, or several that nobody can read."""

    records: Sequence[RawRecord]
    key: str | None
    fault: Fault
    attempts: int

    @property
    def last_offset(self) -> int | None:
        """None for a single record."""
        return self.records[-1].offset if len(self.records) > 1 else None


class ParkedRecords:
    """The records that a unit of work cannot apply.

    Parameters
    ----------
    tx
        The unit of work; the keys, or the subject of unreadable records, must be locked in it before `write`.
    consumer
        Name of the consumer.
    """

    def __init__(self, tx: Tx, consumer: str) -> None:
        self._tx = tx
        self._consumer = consumer
        self._keys: list[tuple[RawRecord, str, Fault]] = []
        self._events: list[tuple[RawRecord, str]] = []
        self._letters: list[_Letter] = []

    def park(self, record: RawRecord, key: str, fault: Fault) -> None:
        """Parks the key with its first event; a permanent fault is a dead letter at once."""
        self._keys.append((record, key, fault))
        self.park_behind(record, key)
        if fault.permanent:
            self.give_up([record], key, fault, attempts=1)

    def park_behind(self, record: RawRecord, key: str) -> None:
        """Stores a later event of a parked key, as bytes."""
        self._events.append((record, key))

    def give_up(self, records: Sequence[RawRecord], key: str | None, fault: Fault, *, attempts: int) -> None:
        """Makes one dead letter of a record, or of all records of a batch that have no readable key.

        It holds the bytes of the first. Those of the others are on the topic, for its retention.
        """
        self._letters.append(_Letter(records, key, fault, attempts))

    def offsets(self) -> list[int]:
        """The offset of each event parked, and the first one of each dead letter without a key; sorted."""
        alone = (letter.records[0].offset for letter in self._letters if letter.key is None)
        return sorted([*(record.offset for record, _ in self._events), *alone])

    async def write(self) -> None:
        """Writes all, and emits an event about each dead letter."""
        if self._keys:
            await self._write_keys()
        if self._events:
            await self._write_events()
        if self._letters:
            await self._write_letters()

    async def _write_keys(self) -> None:
        await self._tx.connection.execute(
            QUERIES["park_keys"],
            self._consumer,
            next_attempt(1),
            [record.topic for record, _, _ in self._keys],
            [key for _, key, _ in self._keys],
            [fault.error for _, _, fault in self._keys],
            [fault.permanent for _, _, fault in self._keys],
        )

    async def _write_events(self) -> None:
        records = [record for record, _ in self._events]
        keys = [key for _, key in self._events]
        await self._tx.connection.execute(
            QUERIES["park_events"],
            self._consumer,
            [record.topic for record in records],
            keys,
            [record.partition for record in records],
            [record.offset for record in records],
            [record.timestamp_ms for record in records],
            [record.key for record in records],
            [record.value for record in records],
            [record.header("words") for record in records],
        )
        for key in dict.fromkeys(keys):
            self._tx.redact_if_erased(key)

    async def _write_letters(self) -> None:
        letters = self._letters
        first = [letter.records[0] for letter in letters]
        claimed = [_claimed_type_and_id(record) for record in first]
        await self._tx.connection.execute(
            QUERIES["insert_dead_letters"],
            self._consumer,
            self._tx.now,
            [record.topic for record in first],
            [record.partition for record in first],
            [record.offset for record in first],
            [letter.last_offset for letter in letters],
            [len(letter.records) for letter in letters],
            [record.timestamp_ms for record in first],
            [letter.key for letter in letters],
            [event_type for event_type, _ in claimed],
            [record.key for record in first],
            [record.value for record in first],
            [record.header("words") for record in first],
            [letter.fault.error for letter in letters],
            [letter.fault.detail for letter in letters],
            [letter.attempts for letter in letters],
        )
        for letter, (_, event_id) in zip(letters, claimed, strict=True):
            self._emit(letter, event_id)

    def _emit(self, letter: _Letter, event_id: str | None) -> None:
        record = letter.records[0]
        if letter.key is not None:
            self._tx.redact_if_erased(letter.key)
        data_type: type[Any] = by_writer(self._tx.service, "deadletter_recorded")
        data: EventData = data_type(
            consumer=self._consumer,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            last_offset=letter.last_offset,
            records=len(letter.records) if len(letter.records) > 1 else None,
            event_id=event_id,
            error=letter.fault.error,
        )
        subject = letter.key or unreadable_subject(record.topic, record.partition)
        self._tx.emit(data, subject=subject, actor=f"service:{self._tx.service}")


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
