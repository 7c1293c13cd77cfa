"""What an event takes over from its cause: id, trace, actor, policy version, effective time."""

import datetime as dt
from typing import NamedTuple

from shared.contracts.base import EventData
from shared.events.decoding import IncomingEvent
from shared.ids import derived_id, is_id


class Provenance(NamedTuple):
    """The envelope fields that an event takes over from its cause, unless the caller names them."""

    effective: dt.datetime | None = None
    actor: str | None = None
    policy: str | None = None
    jurisdiction: str | None = None
    causation: str | None = None


def event_id_from(cause: IncomingEvent[EventData], event_type: str, target: str) -> str:
    """The id of an event that follows from `cause`: the same on every replay."""
    if cause.ordinal is not None:
        return derived_id(cause.id, event_type, target)
    # The unit chooses its action's id freely; only together with the topic is it unique.
    unique = f"{cause.event.source}\n{cause.id}"
    return derived_id(unique, event_type, target, milliseconds=cause.record.timestamp_ms)


def inherited_from(cause: IncomingEvent[EventData]) -> Provenance:
    """The fields of a cause that its effects take over."""
    event = cause.event
    return Provenance(cause.effective, event.actor, event.policyversion, event.jurisdiction, cause.id)


def correlation_of(subject: str, event_id: str, cause: IncomingEvent[EventData] | None) -> str:
    """The trace of an event: its cause's, else its subject's, so that a case is one trace."""
    if cause is not None and cause.event.correlationid:
        return cause.event.correlationid
    return subject if is_id(subject) else event_id
