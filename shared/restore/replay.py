"""Applies again what a service had read after its backup, without saying again what it had said.

Ids of derived events come from their causes, so a handler that runs again makes the same ids. An event whose
id is on its topic already is not written to the outbox; its place is the one on the topic.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

import asyncpg

from shared.clock import Clock
from shared.contracts.base import EventData
from shared.events.decoding import IncomingEvent
from shared.inbox.cursors import read_cursors
from shared.inbox.handlers import Handlers
from shared.inbox.partition_batch import PartitionBatchProcessor
from shared.inbox.rounds import Item
from shared.kafka.client import Reader, existing_topics, read_until
from shared.kafka.records import Partition, RawRecord
from shared.restore.notes import FORGOTTEN, drop_notes
from shared.restore.said import Said, SaidEvent
from shared.settings import CoreSettings
from shared.unit_of_work.database import Database
from shared.unit_of_work.expectations import Kind
from shared.unit_of_work.transaction import Connection, Emitted, Tx

_BATCH = 500
T = TypeVar("T", bound=Tx)


class ReplayClock:
    """Business time at which a batch was appended, so that what follows from it gets its own times."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.appended_ms: int | None = None

    def now(self) -> Any:
        return self._clock.now() if self.appended_ms is None else self._clock.effective(self.appended_ms)

    def effective(self, append_ms: int) -> Any:
        return self._clock.effective(append_ms)


class ReplayTx(Tx):
    """A unit of work that does not repeat what is on the topics."""

    said: Mapping[str, SaidEvent]
    repeated: set[str]

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._repeated: set[str] = set()
        self._delivered: set[tuple[str, str]] = set()

    def expect(self, subject: str, kind: Kind, party: str = "") -> None:
        """As in `Tx`, but for the delivery of a record that is on its topic already."""
        if kind != "delivery" or (subject, party) not in self._delivered:
            super().expect(subject, kind, party)

    async def flush(self) -> None:
        """Also notes in the same transaction that these facts are in the tables again."""
        await super().flush()
        if self._repeated:
            await drop_notes(self.connection, FORGOTTEN, self._repeated)

    def _append(self, data: EventData, subject: str, *rest: Any, **more: Any) -> Emitted:
        source = more["address"].source
        before = self.last_ordinal(subject, source)
        emitted = super()._append(data, subject, *rest, **more)
        said = self.said.get(emitted.id)
        if said is None or said.event.subject != subject:
            return emitted
        self._pending.outbox.pop()
        self._pending.sequences[subject][source] = max(before, said.ordinal)
        self._repeated.add(emitted.id)
        if (unit := more["address"].unit) is not None:
            self._delivered.add((subject, unit))
        self.repeated.add(emitted.id)
        value, words = said.record.value or b"", said.record.header("words")
        return Emitted(emitted.id, int(said.event.sequence or 0), value, words)


class ReplayDatabase(Database):
    """The restored database of a service: its units of work know what is `said`.

    `repeated` collects the ids of said events that handlers have derived again.
    """

    def __init__(
        self, pool: asyncpg.Pool, settings: CoreSettings, clock: Clock, epoch: int, said: Said
    ) -> None:
        self.time = ReplayClock(clock)
        # What was read for weeks is read at once here: that is nobody's flood.
        unbounded = settings.model_copy(update={"bad_records_per_minute": sys.maxsize})
        super().__init__(pool, unbounded, self.time, epoch)
        self.said = said
        self.repeated: set[str] = set()

    def _unit_of_work(self, connection: Connection, kind: type[T]) -> T:
        del kind  # every unit of work is one that knows what is said
        tx = super()._unit_of_work(connection, ReplayTx)
        tx.said, tx.repeated = self.said.events, self.repeated
        return cast(T, tx)


@dataclass(slots=True)
class Replayed:
    """How many records were read again, and the offsets that the topics no longer have."""

    records: int = 0
    gone: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Topic, partition, and the offsets [first, end)."""


class _Processor(PartitionBatchProcessor):
    """Skips events that were answered: their effects are among the facts that were taken back."""

    def __init__(
        self, database: Database, consumer: str, handlers: Handlers, answered: Collection[str]
    ) -> None:
        super().__init__(database, consumer, handlers)
        self._answered = answered

    def _event_to_apply(self, tx: Tx, item: Item, work: Any) -> IncomingEvent[Any] | None:
        event = super()._event_to_apply(tx, item, work)
        if event is None or event.id not in self._answered:
            return event
        if event.ordinal is None:
            tx.mark_action_processed(event.event.source, event.id)
        else:
            tx.mark_processed(event.subject, event.event.source, event.ordinal)
        return None


class Reading(NamedTuple):
    """A consumer of the service, by name, with the topics that it reads."""

    consumer: str
    topics: Sequence[str]


async def replay(
    database: ReplayDatabase,
    handlers: Handlers,
    readings: Sequence[Reading],
    answered: Collection[str] = (),
) -> Replayed:
    """Applies what the consumers' topics hold from the restored cursors on. `answered` are ids to skip.

    What concerns one key is applied in the order in which the broker got it, over all topics: an action
    that was in time must not come after the end of its case. All records are in memory meanwhile.
    """
    result = Replayed()
    owners: dict[str, _Processor] = {}
    records: list[RawRecord] = []
    for reading in readings:
        processor = _Processor(database, reading.consumer, handlers, answered)
        owners |= dict.fromkeys(reading.topics, processor)
        records += await _unread(database, reading, result)
    # Stable, so that each partition keeps the order of its offsets.
    records.sort(key=lambda record: record.timestamp_ms)
    try:
        for chunk in in_chunks(records):
            for batch in _by_partition(chunk).values():
                database.time.appended_ms = batch[-1].timestamp_ms
                await owners[batch[0].topic].process(batch, start=0)
    finally:
        database.time.appended_ms = None
    result.records = len(records)
    return result


async def _unread(database: ReplayDatabase, reading: Reading, result: Replayed) -> list[RawRecord]:
    if not reading.topics:
        return []
    cursors = await read_cursors(database, reading.consumer)
    reader = Reader(database.settings.kafka, "civicloom-restore", reading.topics)
    await reader.start({one: offset for one, offset in cursors.items() if one[0] in reading.topics})
    found: list[RawRecord] = []
    try:
        async for records in read_until(reader, await reader.ends()):
            found += records
    finally:
        await reader.stop()
    for partition, batch in _by_partition(found).items():
        expected = cursors.get(partition, batch[0].offset)
        if expected < batch[0].offset:
            result.gone.append((*partition, expected, batch[0].offset))
    return found


def in_chunks(records: Sequence[RawRecord]) -> Iterator[list[RawRecord]]:
    """Cuts records so that no key is on two partitions of a chunk: they keep their order between topics."""
    chunk: list[RawRecord] = []
    places: dict[bytes | None, Partition] = {}
    for record in records:
        place = (record.topic, record.partition)
        if len(chunk) == _BATCH or places.get(record.key, place) != place:
            yield chunk
            chunk, places = [], {}
        chunk.append(record)
        places[record.key] = place
    if chunk:
        yield chunk


async def matching_topics(settings: CoreSettings, pattern: str) -> list[str]:
    """The existing topics whose names match a regular expression."""
    existing = await existing_topics(settings.kafka, "civicloom-restore")
    return sorted(name for name in existing if re.fullmatch(pattern, name))


def _by_partition(records: Sequence[RawRecord]) -> dict[Partition, list[RawRecord]]:
    found: dict[Partition, list[RawRecord]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append(record)
    return found
