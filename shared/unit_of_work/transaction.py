"""A unit of work: locked aggregates, events and timers, written at its end with one statement per table."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import asyncpg
import orjson

from shared import sql
from shared.clock import Clock
from shared.contracts.addresses import topic_name
from shared.contracts.base import ORDINALS_PER_EPOCH, Contract, EventData, Words
from shared.decision import TimerSpec
from shared.events.decoding import IncomingEvent
from shared.events.encoding import Draft, encode_value, encode_words
from shared.ids import new_id
from shared.metrics import EMITTED
from shared.unit_of_work.expectations import Expectation, Kind
from shared.unit_of_work.pending import OutboxRow, Pending, write
from shared.unit_of_work.provenance import Provenance, correlation_of, event_id_from, inherited_from
from shared.unit_of_work.pruning import prune

QUERIES = sql.load("shared.unit_of_work")
Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy


class Emitted(NamedTuple):
    """An emitted event: its id and sequence, and the exact bytes of value and words."""

    id: str
    sequence: int
    value: bytes
    words: bytes | None


class _Address(NamedTuple):
    """Where an event goes: its source, its topic, the unit that a record is for, and whether its delivery is
    stated."""

    source: str
    topic: str
    unit: str | None = None
    stated: bool = True


class Tx:
    """The unit of work that a handler, a command or a timer works with, inside one database transaction.

    `now` is business time. It stands still from the moment when the aggregates are locked.

    Parameters
    ----------
    connection
        A connection in an open transaction, for the caller's own statements as well.
    service
        The writing service; events of other writers are refused.
    namespace
        First part of every topic name.
    clock
        Business time.
    epoch
        Epoch of the sequences; a restore of the database raises it.
    grace
        How long after its due moment a deadline check fires.
    """

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
        self._pending = Pending()
        self._erased_before: set[str] = set()

    async def lock(self, aggregates: Iterable[str]) -> None:
        """Locks aggregates in id order, creating missing rows, and sets `now`.

        Must be called once, before any other statement that locks.

        Parameters
        ----------
        aggregates
            Ids; duplicates are allowed.
        """
        ids = sorted(set(aggregates))
        if not ids:
            return
        await self.connection.execute(QUERIES["lock_aggregates"], ids)
        # After the wait for the locks: otherwise a higher sequence could carry an earlier time.
        self.now = self._clock.now()
        for row in await self.connection.fetch(QUERIES["read_sequences"], ids):
            self._pending.sequences[row["id"]] = orjson.loads(row["sequences"])
            if row["erased"]:
                self._erased_before.add(row["id"])

    def create(self, aggregates: Iterable[str]) -> None:
        """Registers new aggregates, which need no lock. `flush` raises Conflict if one exists already.

        Parameters
        ----------
        aggregates
            Ids that were made in this unit of work.
        """
        for aggregate in aggregates:
            self._pending.new[aggregate] = None
            self._pending.sequences[aggregate] = {}

    async def make_aggregates(self, aggregates: Iterable[str]) -> None:
        """Makes sure that aggregates exist, without locking those that do: for timers of aggregates that this
        unit of work does not change.

        Parameters
        ----------
        aggregates
            Ids.
        """
        await self.connection.execute(QUERIES["make_aggregates"], sorted(set(aggregates)))

    def last_ordinal(self, aggregate: str, source: str) -> int:
        """The ordinal of the last event of a source about an aggregate.

        Parameters
        ----------
        aggregate
            A locked or created aggregate.
        source
            CloudEvents source: one of ours (last emitted) or a foreign one (last applied).

        Returns
        -------
        int
            epoch * 10**10 + sequence; 0 if there was none.

        Raises
        ------
        KeyError
            If the aggregate is not locked.
        """
        return self._pending.sequences[aggregate].get(source, 0)

    def mark_processed(self, aggregate: str, source: str, ordinal: int) -> None:
        """Records that a foreign event was applied, so that a second copy of it is a duplicate.

        One behind the last ordinal leaves that as it is.

        Parameters
        ----------
        aggregate, source, ordinal
            Subject, source and ordinal of the event.

        Raises
        ------
        KeyError
            If the aggregate is not locked.
        """
        sequences = self._pending.sequences[aggregate]
        sequences[source] = max(ordinal, sequences.get(source, 0))
        self._pending.changed[aggregate] = None

    def mark_action_processed(self, source: str, identifier: str) -> None:
        """Records that an event without a sequence, a unit's action, was applied.

        `flush` raises the driver's UniqueViolationError if another transaction has applied it meanwhile.

        Parameters
        ----------
        source, identifier
            The topic of the action, and its id.
        """
        self._pending.processed_actions[(source, identifier)] = None

    def erase(self, subject: str) -> None:
        """Deletes the words of a subject from the core's tables, when this unit of work ends.

        Parameters
        ----------
        subject
            A locked aggregate.
        """
        self._pending.erased[subject] = None

    def redact_if_erased(self, subject: str) -> None:
        """Deletes the words again if the subject was erased before; call it after storing bytes of it.

        Parameters
        ----------
        subject
            A locked aggregate.
        """
        if subject in self._erased_before:
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
        stated: bool = True,
        target: str = "",
        source: str | None = None,
        causation: str | None = None,
    ) -> Emitted:
        """Appends an event of this service to the outbox.

        Parameters
        ----------
        data
            The event's data; its contract names type, kind and topic.
        subject
            An aggregate locked or created in this unit of work; also the record key.
        words
            Words that travel beside the value.
        cause
            The event that led to this one. The id is derived from it, so that a replay gives the same id.
        actor, effective, policy, jurisdiction
            Provenance fields. Default: those of `cause`; without one, `effective` is `now`.
        unit
            The addressee of a record.
        stated
            Whether an event will say that the record was delivered.
        target
            Tells events of one type and cause apart. Default: the unit of a record.
        source
            A source with a sequence of its own, such as `/services/inquiry/contacts`; not for records.
        causation
            Id of the event that this one follows from, if that is not `cause`.

        Returns
        -------
        Emitted
            Id and sequence, and the bytes of value and words.

        Raises
        ------
        ValueError
            If another service writes this type, or a record has no `unit`.
        KeyError
            If `subject` is not locked.
        EventTooLarge
            If value and words have more than 900 kB together.
        """
        address = self._address(data.contract, unit, source)._replace(stated=stated)
        given = Provenance(effective, actor, policy, jurisdiction, causation)
        return self._append(data, subject, words, address=address, target=target, cause=cause, given=given)

    def schedule(self, aggregate: str, timer: TimerSpec) -> None:
        """Schedules a timer; it replaces one of the same kind for the same aggregate.

        Parameters
        ----------
        aggregate
            A locked or created aggregate, or one of `make_aggregates`: without its row a timer never fires.
        timer
            Kind, due moment in business time, data, and whether it is a deadline check.
        """
        self._pending.timers[(aggregate, timer.kind)] = timer

    def cancel(self, aggregate: str, *kinds: str) -> None:
        """Cancels timers; kinds that are not scheduled are ignored.

        Parameters
        ----------
        aggregate
            A locked or created aggregate.
        *kinds
            Kinds of timers.
        """
        for kind in kinds:
            self._pending.timers[(aggregate, kind)] = None

    def expect(self, subject: str, kind: Kind, party: str = "") -> None:
        """Records that another service has to answer about a subject.

        Parameters
        ----------
        subject
            A locked or created aggregate.
        kind
            What is expected.
        party
            The unit that a delivery is for.
        """
        self._pending.expectations[Expectation(subject, kind, party)] = True

    def fulfil(self, subject: str, kind: Kind, party: str = "") -> None:
        """Records that what was expected has come; without effect if it was not expected.

        Parameters
        ----------
        subject, kind, party
            As in `expect`.
        """
        self._pending.expectations[Expectation(subject, kind, party)] = False

    def expectation_changed(self, expectation: Expectation) -> bool | None:
        """What this unit of work has made of an expectation so far.

        Parameters
        ----------
        expectation
            What is or was expected.

        Returns
        -------
        bool or None
            Whether it will stand; None if it stays as the tables have it.
        """
        return self._pending.expectations.get(expectation)

    def snapshot(self) -> object:
        """The pending state, to `restore` if a savepoint is rolled back.

        Returns
        -------
        object
            Opaque; good for one `restore`.
        """
        return self._pending.copy()

    def restore(self, snapshot: object) -> None:
        """Forgets everything since the snapshot was taken.

        Parameters
        ----------
        snapshot
            From `snapshot` of this unit of work.
        """
        assert isinstance(snapshot, Pending)  # noqa: S101  (nothing else makes snapshots)
        self._pending = snapshot

    @property
    def wrote_events(self) -> bool:
        """Whether an event was emitted."""
        return bool(self._pending.outbox)

    def count_emitted(self) -> None:
        """Counts the emitted events. The owner calls it after the commit, since a rollback emits none."""
        for event_type, count in Counter(row.type for row in self._pending.outbox).items():
            EMITTED.labels(event_type).inc(count)

    async def flush(self) -> None:
        """Writes everything, one statement per table. The owner of the transaction calls it once, at the end.

        Raises
        ------
        Conflict
            If an aggregate of `create` exists already.
        asyncpg.UniqueViolationError
            If another transaction has applied the same action.
        """
        await write(self.connection, self._pending, self._grace)

    def _address(self, contract: Contract, unit: str | None, source: str | None) -> _Address:
        if contract.kind == "record":
            if unit is None:
                raise ValueError(f"{contract.type} is for a unit's topic: name the unit")
            source = f"/services/{self.service}/departments/{unit}"
            return _Address(source, topic_name(self.namespace, "department", unit), unit)
        if contract.writer != self.service:
            raise ValueError(f"{contract.type} is written by {contract.writer}, not by {self.service}")
        return _Address(source or f"/services/{self.service}", topic_name(self.namespace, contract.topic))

    def _append(
        self,
        data: EventData,
        subject: str,
        words: Words | None,
        *,
        address: _Address,
        target: str,
        cause: IncomingEvent[EventData] | None,
        given: Provenance,
    ) -> Emitted:
        event_type = data.contract.type
        epoch, sequence = self._next_place(subject, address.source)
        if cause is None:
            event_id, inherited = new_id(self.now), Provenance()
        else:
            event_id = event_id_from(cause, event_type, f"{target or address.unit or ''}\n{subject}")
            inherited = inherited_from(cause)
        encoded = encode_words(words) if words is not None else None
        draft = Draft(
            id=event_id,
            source=address.source,
            subject=subject,
            time=self.now,
            sequence=sequence,
            epoch=epoch,
            key=subject,
            correlation=correlation_of(subject, event_id, cause),
            causation=given.causation or inherited.causation,
            effective=given.effective or inherited.effective or self.now,
            actor=given.actor or inherited.actor,
            policy=given.policy or inherited.policy,
            jurisdiction=given.jurisdiction or inherited.jurisdiction,
            data=data,
        )
        value = encode_value(draft, encoded)
        delivery: str | None = None
        if address.unit is not None and address.stated:
            delivery = _json({"unit": address.unit, "subject": subject, "id": event_id, "type": event_type})
        self._pending.outbox.append(OutboxRow(address.topic, subject, value, encoded, delivery, event_type))
        if data.contract.is_erasure:
            self.erase(subject)
        return Emitted(event_id, sequence, value, encoded)

    def _next_place(self, subject: str, source: str) -> tuple[int, int]:
        """Epoch and sequence of the next event. The epoch never falls, even if a restore raised it."""
        own = self._pending.sequences[subject]
        last_epoch, last = divmod(own.get(source, 0), ORDINALS_PER_EPOCH)
        epoch, sequence = max(self.epoch, last_epoch), last + 1
        own[source] = epoch * ORDINALS_PER_EPOCH + sequence
        self._pending.changed[subject] = None
        return epoch, sequence


async def prune_processed_actions(connection: Connection | asyncpg.Pool, before: dt.datetime) -> None:
    """Forgets actions that were applied before a moment of machine time."""
    await prune(connection, "prune_seen_events", before)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
