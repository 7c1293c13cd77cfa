"""Events as spans: pure. Names are OpenTelemetry's semantic conventions for messaging and CloudEvents.

A cause that is not in the log (a unit's action, a record on a unit's topic) has no span. An event with such
a cause, or without one (a citizen's act, a timer), gets the event with which the trace began as its parent:
so a case is one tree.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.audit.tracing.events import LoggedEvent
from shared.ids import is_id

Attribute = str | int

# Codes, ids and versions. Free text and names do not have this form.
_CODE = re.compile(r"[A-Za-z0-9/][A-Za-z0-9._:/+-]{0,199}", re.ASCII)
_ACTOR_KINDS = frozenset(
    {"anonymous", "citizen", "import", "machine", "operator", "person", "service", "unit"}
)


@dataclass(frozen=True, slots=True)
class Span:
    """One event in its trace. Ids are hex digits, times nanoseconds since 1970; the root has no `parent`."""

    trace: str
    id: str
    parent: str | None
    name: str
    service: str
    start: int
    end: int
    index: int
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Events around the spans: causes by event id, and the first event of each trace by correlation id."""

    causes: Mapping[str, LoggedEvent]
    roots: Mapping[str, LoggedEvent]


def span_id(event_id: str) -> str:
    """16 hex digits: the last 8 bytes of a UUIDv7 or v8, which are 62 random or derived bits and never zero.

    Other ids may all end alike (a v1 ends with its machine): the first 8 bytes of their SHA-256.
    """
    if is_id(event_id) and event_id[14] in "78" and event_id[19] in "89ab":
        return event_id.replace("-", "")[16:]
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def surroundings(events: Sequence[LoggedEvent], others: Iterable[LoggedEvent]) -> Surroundings:
    """From the events themselves and `others` that may be their causes or beginnings.

    A trace begins with the event that it is named after. One that is named after its subject begins with the
    first event of a source about it that has no cause (else the first that was logged). The result is the
    same for every part of the trace.
    """
    causes: dict[str, LoggedEvent] = {}
    roots: dict[str, LoggedEvent] = {}
    for event in [*others, *events]:
        causes.setdefault(event.id, event)
        if event.may_begin_its_trace:
            known = roots.get(event.correlation, event)
            roots[event.correlation] = min(known, event, key=_precedence)
    return Surroundings(causes, roots)


def _precedence(event: LoggedEvent) -> tuple[bool, bool, int]:
    return event.id != event.correlation, event.cause is not None, event.index


def spans(events: Iterable[LoggedEvent], around: Surroundings) -> list[Span]:
    """A span for each event, in order."""
    return [_span(event, around) for event in events]


def _span(event: LoggedEvent, around: Surroundings) -> Span:
    cause = around.causes.get(event.cause or "")
    if cause is not None and cause.trace != event.trace:
        cause = None
    root = around.roots.get(event.correlation)
    parent = cause or root
    if root is not None and root.id == event.id:
        # Even if its cause is logged: that one was logged later, and has this event as its parent.
        parent = None
    end = event.time
    return Span(
        trace=event.trace,
        id=span_id(event.id),
        parent=None if parent is None else span_id(parent.id),
        name=_code(event.text("type")) or "unknown",
        service=event.service,
        # Clocks of two machines may disagree; a span never ends before it starts.
        start=min(event.effective if cause is None else cause.time, end),
        end=end,
        index=event.index,
        attributes=_attributes(event),
    )


def _attributes(event: LoggedEvent) -> dict[str, Attribute]:
    """From the envelope alone: nothing of `data`, no name of a person, no text that is not a code."""
    codes = {
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.text("source"),
        "cloudevents.event_spec_version": event.text("specversion"),
        "cloudevents.event_type": event.text("type"),
        "cloudevents.event_subject": event.text("subject"),
        "messaging.destination.name": event.topic,
        "messaging.destination.partition.id": str(event.partition),
        "civicloom.sequence": event.text("sequence"),
        "civicloom.cause": event.cause if is_id(event.cause or "") else None,  # a unit's action has any id
        "civicloom.policyversion": event.text("policyversion"),
        "civicloom.jurisdiction": event.text("jurisdiction"),
    }
    attributes: dict[str, Attribute] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.kafka.offset": event.offset,
        "civicloom.log.index": event.index,
    }
    attributes |= {name: code for name, text in codes.items() if (code := _code(text)) is not None}
    actor = event.text("actor")
    if actor is not None:
        kind = actor.partition(":")[0]
        attributes["civicloom.actor.kind"] = kind if kind in _ACTOR_KINDS else "other"
    return attributes


def _code(text: str | None) -> str | None:
    return text if text is not None and _CODE.fullmatch(text) else None
