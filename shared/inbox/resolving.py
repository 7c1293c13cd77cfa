"""What a record is to a service: an event with its handler, nothing, or what stands in for it."""

import hashlib
from typing import Any, NamedTuple

from shared.clock import Clock
from shared.contracts.base import Event, EventData
from shared.errors import Permanent, UnknownVersion
from shared.events.decoding import (
    IncomingEvent,
    contract_of,
    parse_value,
    peek_field,
    unreadable_subject,
    with_words,
)
from shared.inbox.handlers import Handler, Handlers
from shared.kafka.records import RawRecord


class HandlerMatch(NamedTuple):
    """An event and who handles it."""

    event: IncomingEvent[Any]
    handler: Handler

    @property
    def locks(self) -> tuple[str, ...]:
        """Every aggregate that the event changes, its subject first."""
        return tuple(dict.fromkeys((self.event.subject, *self.handler.locks(self.event))))


def resolve(record: RawRecord, handlers: Handlers, clock: Clock) -> HandlerMatch | None:
    """The record's event with its handler; None for what does not concern the service.

    What is no event for it, `handlers.on_unhandled` may take as one. Raises Undecodable for bytes that nobody
    takes, and UnknownVersion for another major version of a type that is handled.
    """
    fault: Permanent | None = None
    try:
        contract = contract_of(record.value)
        handler = handlers.get(contract.type) if contract else None
        if contract is not None and handler is not None:
            event = parse_value(record, contract)
            if not handler.accepts(event):
                return None
            return HandlerMatch(with_words(record, event, contract, clock), handler)
    except Permanent as error:
        fault = error
    facts = handlers.on_unhandled(record, fault)
    if facts is not None:
        return HandlerMatch(_standing_in(record, facts, clock), handlers[facts.contract.type])
    if fault is None or (isinstance(fault, UnknownVersion) and fault.family not in handlers.families):
        return None
    raise fault


def _standing_in(record: RawRecord, facts: EventData, clock: Clock) -> IncomingEvent[EventData]:
    """Known by topic and bytes: it counts once, and an event that comes later under the same id does too."""
    effective = clock.effective(record.timestamp_ms)
    event: Event[EventData] = Event.model_construct(
        type=facts.contract.type,
        id=hashlib.sha256(record.value or b"").hexdigest(),
        source=record.topic,
        subject=peek_field(record, "subject") or unreadable_subject(record.topic, record.partition),
        time=effective,
        data=facts,
    )
    return IncomingEvent(event, None, record, effective)
