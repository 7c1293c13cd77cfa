"""A unit of work: locked aggregates, events for the outbox, timers; all written at its end, set by set."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import asyncpg
import orjson

from shared import sql
from shared.clock import Clock, machine_now
from shared.contracts.addresses import topic_name
from shared.contracts.base import ORDINALS_PER_EPOCH, EventData, Words
from shared.decision import TimerSpec
from shared.errors import Conflict
from shared.events.decoding import IncomingEvent
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import derived_id, is_id, new_id
from shared.metrics import EMITTED
from shared.unit_of_work.erasure import erase

QUERIES = sql.load("shared.unit_of_work")
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
Sequences = dict[str, int]


class Emitted(NamedTuple):
    """What became of an `emit`: the id and the sequence that the caller may answer with, and the bytes."""

    id: str
    sequence: int
    value: bytes
    words: bytes | None


class OutboxRow(NamedTuple):
    topic: str
    key: str
    value: bytes
    words: bytes | None
    delivery: str | None
    type: str


@dataclass(slots=True)
class _Pending:
    """What is not yet written; copied before a savepoint, so that it can be rolled back with it."""

    sequences: dict[str, Sequences] = field(default_factory=dict)
    changed: dict[str, None] = field(default_factory=dict)
    outbox: list[OutboxRow] = field(default_factory=list)
    timers: dict[tuple[str, str], TimerSpec | None] = field(default_factory=dict)
    seen: dict[tuple[str, str], None] = field(default_factory=dict)
    erased: dict[str, None] = field(default_factory=dict)
    new: dict[str, None] = field(default_factory=dict)

    def copy(self) -> "_Pending":
        return _Pending(
            {id_: dict(own) for id_, own in self.sequences.items()},
            dict(self.changed),
            list(self.outbox),
            dict(self.timers),
            dict(self.seen),
            dict(self.erased),
            dict(self.new),
        )


class Tx:
    """What a handler, a command or a timer works with. `now` is business time: it stands still from
    the moment when the aggregates are locked."""

    def __init__(
        self,
        connection: Connection,
        *,
        service: str,
        namespace: str,
        clock: Clock,
        epoch: int,
        grace: dt.timedelta,
    ) -> None:
        self.connection = connection
        self.service = service
        self.namespace = namespace
        self.now = clock.now()
        self._clock = clock
        self.epoch = epoch
        self._grace = grace
        self._pending = _Pending()
        self._forgotten: set[str] = set()

    async def lock(self, aggregates: Iterable[str]) -> None:
        """Locks all of them in id order, making rows on first mention. Once, before anything else."""
        ids = sorted(set(aggregates))
        if not ids:
            return
        await self.connection.execute(QUERIES["lock_aggregates"], ids)
        # Whoever had to wait would else write a higher sequence with an earlier time.
        self.now = self._clock.now()
        for row in await self.connection.fetch(QUERIES["read_sequences"], ids):
            self._pending.sequences[row["id"]] = orjson.loads(row["sequences"])
            if row["erased"]:
                self._forgotten.add(row["id"])

    def create(self, aggregates: Iterable[str]) -> None:
        """Ids made on the spot: nothing to lock; the insert at the end raises Conflict if one exists."""
        for aggregate in aggregates:
            self._pending.new[aggregate] = None
            self._pending.sequences[aggregate] = {}

    def last_ordinal(self, aggregate: str, source: str) -> int:
        """The last position of `source` for the aggregate; 0 if there was none."""
        return self._pending.sequences[aggregate].get(source, 0)

    def mark_processed(self, aggregate: str, source: str, ordinal: int) -> None:
        """Remembers that a foreign event was applied."""
        self._pending.sequences[aggregate][source] = ordinal
        self._pending.changed[aggregate] = None

    def mark_action_processed(self, source: str, identifier: str) -> None:
        """Remembers an event that carries no sequence."""
        self._pending.seen[(source, identifier)] = None

    def erase(self, subject: str) -> None:
        """The core forgets the words of the subject, which must be locked, when this ends."""
        self._pending.erased[subject] = None

    def redact_if_erased(self, subject: str) -> None:
        """Bytes of the subject were parked or are a dead letter: without words if it is erased already."""
        if subject in self._forgotten:
            self.erase(subject)

    def emit(
        self,
        data: EventData,
        *,
        subject: str,
        words: Words | None = None,
        cause: IncomingEvent[EventData] | None = None,
        actor: str | None = None,
        effective: dt.datetime | None = None,
        policy: str | None = None,
        jurisdiction: str | None = None,
        unit: str | None = None,
        target: str = "",
        source: str | None = None,
        causation: str | None = None,
    ) -> Emitted:
        """Appends an event of this service to the outbox; `subject` must be locked or created in this Tx.

        With a `cause` the id is derived from it (`target` tells several of one type apart) and
        effective time, correlation, policy version and jurisdiction are taken over. A record for a
        unit's topic names the `unit`. `causation` is the id of an event of our own that it follows from,
        such as the dispatch of an offer, where that is not the `cause`. Raises EventTooLarge, and KeyError
        for a subject not locked.
        """
        contract = data.contract
        delivery: str | None = None
        if contract.kind == "record":
            if unit is None:
                raise ValueError(f"{contract.type} is for a unit's topic: name the unit")
            source = f"/services/{self.service}/departments/{unit}"
            topic = topic_name(self.namespace, "department", unit)
            target = target or unit
        else:
            if contract.writer != self.service:
                raise ValueError(f"{contract.type} is written by {contract.writer}, not by {self.service}")
            source = source or f"/services/{self.service}"
            topic = topic_name(self.namespace, contract.topic)
        sequence = self._next(subject, source)
        event_id = _derived(cause, contract.type, f"{target}\n{subject}") if cause else new_id(self.now)
        if contract.kind == "record":
            delivery = orjson.dumps(
                {"unit": unit, "subject": subject, "id": event_id, "type": contract.type}
            ).decode()
        encoded = encode_words(words) if words is not None else None
        value = encode_value(
            Draft(
                id=event_id,
                source=source,
                subject=subject,
                time=self.now,
                sequence=sequence,
                epoch=self.epoch,
                key=subject,
                correlation=_correlation(subject, event_id, cause),
                causation=causation or (cause.id if cause else None),
                effective=effective or (cause.effective if cause else self.now),
                actor=actor or (cause.event.actor if cause else None),
                policy=policy or (cause.event.policyversion if cause else None),
                jurisdiction=jurisdiction or (cause.event.jurisdiction if cause else None),
                data=data,
            ),
            encoded,
        )
        self._pending.outbox.append(OutboxRow(topic, subject, value, encoded, delivery, contract.type))
        if contract.is_erasure:
            self.erase(subject)
        return Emitted(event_id, sequence, value, encoded)

    def schedule(self, aggregate: str, timer: TimerSpec) -> None:
        """Sets a timer; one of the same kind for the same aggregate is replaced."""
        self._pending.timers[(aggregate, timer.kind)] = timer

    def cancel(self, aggregate: str, *kinds: str) -> None:
        """Takes timers away, armed or not."""
        for kind in kinds:
            self._pending.timers[(aggregate, kind)] = None

    def snapshot(self) -> object:
        """The state to `rewind` to when the savepoint is rolled back."""
        return self._pending.copy()

    def restore(self, snapshot: object) -> None:
        """Forgets everything since the mark. A snapshot serves once."""
        assert isinstance(snapshot, _Pending)  # noqa: S101  (only our own marks exist)
        self._pending = snapshot

    @property
    def wrote_events(self) -> bool:
        return bool(self._pending.outbox)

    async def flush(self) -> None:
        """Writes everything, one statement a table. The owner of the transaction calls it once."""
        pending = self._pending
        changed = sorted(id_ for id_ in pending.changed if id_ not in pending.new)
        if pending.new:
            ids = sorted(pending.new)
            try:
                await self.connection.execute(
                    QUERIES["insert_aggregates"], ids, [_json(pending.sequences[id_]) for id_ in ids]
                )
            except asyncpg.UniqueViolationError as error:
                raise Conflict("an aggregate of this id exists already") from error
        if changed:
            await self.connection.execute(
                QUERIES["update_sequences"], changed, [_json(pending.sequences[id_]) for id_ in changed]
            )
        if pending.outbox:
            rows = pending.outbox
            await self.connection.execute(
                QUERIES["insert_outbox"],
                [r.topic for r in rows],
                [r.key for r in rows],
                [r.value for r in rows],
                [r.words for r in rows],
                [r.delivery for r in rows],
            )
            for event_type, count in Counter(row.type for row in rows).items():
                EMITTED.labels(event_type).inc(count)
        await self._flush_timers(pending.timers)
        if pending.seen:
            await self.connection.execute(
                QUERIES["insert_seen_events"],
                [source for source, _ in pending.seen],
                [identifier for _, identifier in pending.seen],
                machine_now(),
            )
        if pending.erased:
            # Last, so that what this transaction itself has kept is among it.
            await erase(self.connection, pending.erased)

    async def _flush_timers(self, timers: dict[tuple[str, str], TimerSpec | None]) -> None:
        cancelled = sorted(key for key, timer in timers.items() if timer is None)
        set_now = sorted(
            ((*key, timer) for key, timer in timers.items() if timer is not None), key=lambda row: row[:2]
        )
        if cancelled:
            await self.connection.execute(
                QUERIES["cancel_timers"], [a for a, _ in cancelled], [k for _, k in cancelled]
            )
        if set_now:
            await self.connection.execute(
                QUERIES["schedule_timers"],
                [aggregate for aggregate, _, _ in set_now],
                [kind for _, kind, _ in set_now],
                [t.due for _, _, t in set_now],
                [t.due + self._grace if t.is_deadline_check else t.due for _, _, t in set_now],
                [t.is_deadline_check for _, _, t in set_now],
                [_json(t.data) for _, _, t in set_now],
            )

    def _next(self, subject: str, source: str) -> int:
        own = self._pending.sequences[subject]
        sequence = own.get(source, 0) % ORDINALS_PER_EPOCH + 1
        own[source] = self.epoch * ORDINALS_PER_EPOCH + sequence
        self._pending.changed[subject] = None
        return sequence


def _derived(cause: IncomingEvent[EventData], event_type: str, target: str) -> str:
    if cause.ordinal is not None:
        return derived_id(cause.id, event_type, target)
    # A unit's action is known by topic and id, and its id is whatever the unit likes.
    known_by = f"{cause.event.source}\n{cause.id}"
    return derived_id(known_by, event_type, target, milliseconds=cause.record.timestamp_ms)


def _correlation(subject: str, event_id: str, cause: IncomingEvent[EventData] | None) -> str:
    # Everything about a case is one trace: its id.
    if cause is not None and cause.event.correlationid:
        return cause.event.correlationid
    return subject if is_id(subject) else event_id


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
