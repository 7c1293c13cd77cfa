"""Applies a batch in rounds of at most one event per aggregate, so that order inside a round is free."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from shared import sql
from shared.contracts.base import ORDINALS_PER_EPOCH
from shared.events.decoding import IncomingEvent
from shared.ids import is_id
from shared.inbox.handlers import Fault, Handler, Result
from shared.infrastructure import is_infrastructure
from shared.kafka.records import RawRecord
from shared.logs import about, get_logger
from shared.unit_of_work.expectations import Expectation, Kind
from shared.unit_of_work.transaction import Tx

QUERIES = sql.load("shared.inbox")
log = get_logger(__name__)

_LONGEST_LEAP = 10_000
_MOST_RESTORES = 1_000


class Item(NamedTuple):
    """A record to apply under its key, with the aggregates that it changes.

    It has either an event and its handler, or the fault for which it could not be read.
    """

    record: RawRecord
    key: str
    locks: tuple[str, ...]
    event: IncomingEvent[Any] | None = None
    handler: Handler | None = None
    fault: Fault | None = None


def in_rounds(items: Sequence[Item]) -> list[list[Item]]:
    """Splits in order: an item joins the round after the last one that changes any of its aggregates."""
    last: dict[str, int] = {}
    rounds: list[list[Item]] = []
    for item in items:
        number = max((last.get(aggregate, -1) for aggregate in item.locks), default=-1) + 1
        for aggregate in item.locks:
            last[aggregate] = number
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(item)
    return rounds


def is_duplicate(tx: Tx, event: IncomingEvent[Any]) -> bool:
    """Whether the event was applied before: its ordinal is not above the last one of its source (I2)."""
    ordinal = event.ordinal
    return ordinal is not None and ordinal <= tx.last_ordinal(event.subject, event.event.source)


async def standing_waits(tx: Tx, events: Iterable[tuple[Handler, IncomingEvent[Any]]]) -> set[Expectation]:
    """The waits in the tables that events behind the last ordinal of their source would end."""
    late: dict[Kind, set[str]] = {}
    for handler, event in events:
        if handler.fulfils is not None and is_duplicate(tx, event):
            late.setdefault(handler.fulfils, set()).add(event.subject)
    found: set[Expectation] = set()
    for kind, subjects in late.items():
        rows = await tx.connection.fetch(QUERIES["waiting_subjects"], sorted(subjects), kind)
        found |= {Expectation(row["subject"], kind) for row in rows}
    return found


def is_awaited(tx: Tx, handler: Handler, event: IncomingEvent[Any], standing: set[Expectation]) -> bool:
    """Whether its subject waits for the event: then it was lost, later ones were applied, it is no duplicate.

    `standing` is from `standing_waits` of this unit of work, which may have begun or ended a wait since.
    """
    if handler.fulfils is None:
        return False
    wait = Expectation(event.subject, handler.fulfils)
    changed = tx.expectation_changed(wait)
    return wait in standing if changed is None else changed


def begins_below(tx: Tx, event: IncomingEvent[Any]) -> bool:
    """Whether the event begins an epoch with a sequence that was applied: its owner has forgotten some."""
    if event.ordinal is None:
        return False
    last_epoch, last = divmod(tx.last_ordinal(event.subject, event.event.source), ORDINALS_PER_EPOCH)
    epoch, sequence = divmod(event.ordinal, ORDINALS_PER_EPOCH)
    return 0 < last_epoch < epoch and sequence <= last


def leap_of(tx: Tx, event: IncomingEvent[Any]) -> Fault | None:
    """The fault of an event that leaps far ahead of the last one of its source about the same case.

    All that its owner really says would be behind it, and pass for applied. No case has so many events, and
    no service was restored so often; a unit's own subject counts refusals of all its cases and may leap.
    """
    if event.ordinal is None or not is_id(event.subject):
        return None
    last_epoch, last = divmod(tx.last_ordinal(event.subject, event.event.source), ORDINALS_PER_EPOCH)
    epoch, sequence = divmod(event.ordinal, ORDINALS_PER_EPOCH)
    if sequence - last <= _LONGEST_LEAP and epoch - last_epoch <= _MOST_RESTORES:
        return None
    return Fault(
        "SequenceLeaps",
        f"{event.event.source} goes from sequence {last} (epoch {last_epoch}) to {sequence} (epoch {epoch}) "
        f"about {event.subject}: find out who wrote it, then discard it",
        permanent=True,
    )


async def known_actions(tx: Tx, events: Iterable[IncomingEvent[Any]]) -> set[tuple[str, str]]:
    """The events without a sequence that were applied before, as (source, id)."""
    actions = [event for event in events if event.ordinal is None]
    if not actions:
        return set()
    rows = await tx.connection.fetch(
        QUERIES["seen_events"], [event.event.source for event in actions], [event.id for event in actions]
    )
    return {(row["source"], row["id"]) for row in rows}


async def apply(tx: Tx, handler: Handler, events: list[IncomingEvent[Any]], *, careful: bool) -> list[Result]:
    """Runs the handler over the events and marks the applied ones as processed; one result per event.

    If not `careful`, an error of the handler is raised and ends the whole batch. If `careful`, the list runs
    in a savepoint and is halved after an error until the failing event is alone. Infrastructure faults are
    always raised. Raises RuntimeError if the handler returns the wrong number of results.
    """
    if not careful:
        return _finish(tx, events, await handler.run(tx, events))
    snapshot = tx.snapshot()
    try:
        async with tx.connection.transaction():
            return _finish(tx, events, await handler.run(tx, events))
    except Exception as error:
        if is_infrastructure(error):
            raise
        tx.restore(snapshot)
        if len(events) == 1:
            failed = events[0].event
            with about(failed.correlationid or failed.subject):
                log.warning("event failed", type=failed.type, id=failed.id, exc_info=error)
            return [Fault.of(error)]
        half = len(events) // 2
        first = await apply(tx, handler, events[:half], careful=True)
        return first + await apply(tx, handler, events[half:], careful=True)


def _finish(tx: Tx, events: list[IncomingEvent[Any]], results: Sequence[Result] | None) -> list[Result]:
    found: list[Result] = list(results) if results is not None else [None] * len(events)
    if len(found) != len(events):
        raise RuntimeError(f"a handler returned {len(found)} results for {len(events)} events")
    for event, result in zip(events, found, strict=True):
        if not isinstance(result, Fault):
            if (ordinal := event.ordinal) is not None:
                tx.mark_processed(event.subject, event.event.source, ordinal)
            else:
                tx.mark_action_processed(event.event.source, event.id)
    return found
