"""Resolves a record to an event and its handler; None if the service does not subscribe to it."""

import hashlib
from typing import Any, NamedTuple

from shared.clock import Clock
from shared.contracts.base import Event, EventData
from shared.errors import Permanent, UnknownVersion
from shared.events.decoding import (
    IncomingEvent,
    contract_of,
    decode,
    effective_time,
    peek_data,
    peek_field,
    unreadable_subject,
)
from shared.inbox.handlers import Fault, Handler, Handlers, accept_all
from shared.infrastructure import is_infrastructure
from shared.kafka.records import RawRecord
from shared.logs import get_logger

log = get_logger(__name__)


class HandlerMatch(NamedTuple):
    """An event, its handler, and every aggregate that the event changes, its subject first."""

    event: IncomingEvent[Any]
    handler: Handler
    locks: tuple[str, ...]


def resolve_or_fault(record: RawRecord, handlers: Handlers, clock: Clock) -> HandlerMatch | Fault | None:
    """`resolve`, with an error of the record, or of what a handler declares about it, as a Fault.

    Raises faults of the infrastructure.
    """
    try:
        return resolve(record, handlers, clock)
    except Exception as error:
        if is_infrastructure(error):
            raise
        if not isinstance(error, Permanent):
            log.warning("record not resolved", topic=record.topic, offset=record.offset, exc_info=error)
        return Fault.of(error)


def resolve(record: RawRecord, handlers: Handlers, clock: Clock) -> HandlerMatch | None:
    """The record's event with its handler; None for a type without a handler and an event not accepted.

    `handlers.on_unhandled` may turn a record that is no event for the service into one. Otherwise raises
    Undecodable for bytes that are no event, and UnknownVersion for another major version of a handled type.
    """
    fault: Permanent | None = None
    try:
        contract = contract_of(record.value)
        handler = handlers.get(contract.type) if contract else None
        if contract is not None and handler is not None:
            if handler.accepts is not accept_all and not handler.accepts(peek_data(record)):
                return None
            return _matched(decode(record, contract, clock), handler)
    except Permanent as error:
        fault = error
    data = handlers.on_unhandled(record, fault)
    if data is not None:
        return _matched(_substitute(record, data, clock), handlers[data.contract.type])
    if fault is None or (isinstance(fault, UnknownVersion) and fault.family not in handlers.families):
        return None
    raise fault


def _matched(event: IncomingEvent[Any], handler: Handler) -> HandlerMatch:
    return HandlerMatch(event, handler, tuple(dict.fromkeys((event.subject, *handler.locks(event)))))


def _substitute(record: RawRecord, data: EventData, clock: Clock) -> IncomingEvent[EventData]:
    """An event made from a record that is none. Its id is the hash of the bytes, so that it is applied once.

    The id that the bytes may contain is not used: a valid event with that id may still come.
    """
    effective = effective_time(record, clock)
    event: Event[EventData] = Event.model_construct(
        type=data.contract.type,
        id=hashlib.sha256(record.value or b"").hexdigest(),
        source=record.topic,
        subject=peek_field(record, "subject") or unreadable_subject(record.topic, record.partition),
        time=effective,
        data=data,
    )
    return IncomingEvent(event, None, record, effective)
