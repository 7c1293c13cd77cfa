"""Resolving: a record is an event for a handler, nothing to this service, or a fault."""

import hashlib
from typing import Any

import pytest

from harness.fixed_clock import FixedClock
from shared.contracts.base import EventData
from shared.contracts.routing import CaseTriaged
from shared.errors import Permanent, Undecodable, UnknownVersion
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handlers, Results
from shared.inbox.resolving import resolve
from shared.kafka.records import RawRecord
from shared.unit_of_work.transaction import Tx
from tests.unit.shared.made import CASE, NOW, raw, record

TRIAGED = CaseTriaged(reason="no_rule", attempt=1)
CLOCK = FixedClock(NOW)


async def apply(tx: Tx, events: list[IncomingEvent[Any]]) -> Results:
    return None


def test_an_event_is_matched_with_its_handler_and_its_locks() -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged, lambda event: ["unit:water", event.subject])(apply)
    match = resolve(record(TRIAGED), handlers, CLOCK)
    assert match is not None
    assert match.event.data == TRIAGED
    assert match.locks == (CASE, "unit:water")


def test_a_type_without_a_handler_is_nothing_to_the_service() -> None:
    assert resolve(record(TRIAGED), Handlers(), CLOCK) is None
    assert resolve(raw(b'{"type":"civic.case.praised.v1"}'), Handlers(), CLOCK) is None


def test_an_event_that_is_not_accepted_is_skipped_without_validating_it() -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged, accepts=lambda data: data["attempt"] > 1)(apply)
    assert resolve(record(TRIAGED), handlers, CLOCK) is None
    assert resolve(record(CaseTriaged(reason="no_rule", attempt=2)), handlers, CLOCK) is not None
    faulty = record(TRIAGED)
    value = faulty.value or b""
    faulty.value = value.replace(b'"no_rule"', b'"no reason"')
    assert resolve(faulty, handlers, CLOCK) is None
    faulty.value = faulty.value.replace(b'"attempt":1', b'"attempt":2')
    with pytest.raises(Undecodable):
        resolve(faulty, handlers, CLOCK)


@pytest.mark.parametrize("rest", [b'"data":[]}', b'"data":7}', b'"subject":"case-7"}', b'"data":{'])
def test_an_event_without_data_is_a_fault_before_it_is_accepted(rest: bytes) -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged, accepts=lambda data: data["attempt"] > 1)(apply)
    with pytest.raises(Undecodable):
        resolve(raw(b'{"specversion":"1.0","type":"civic.case.triaged.v1",' + rest), handlers, CLOCK)


def test_a_new_version_matters_only_if_the_type_is_handled() -> None:
    newer = raw(b'{"type":"civic.case.triaged.v2"}', topic="civic.routing.v1")
    assert resolve(newer, Handlers(), CLOCK) is None
    handlers = Handlers()
    handlers.on(CaseTriaged)(apply)
    with pytest.raises(UnknownVersion):
        resolve(newer, handlers, CLOCK)


def test_undecodable_bytes_are_a_fault_unless_the_service_takes_them() -> None:
    broken = raw(b'{"subject":"case-7","type":3}')
    with pytest.raises(Undecodable):
        resolve(broken, Handlers(), CLOCK)
    seen: list[tuple[RawRecord, Permanent | None]] = []

    def take(record: RawRecord, fault: Permanent | None) -> EventData | None:
        seen.append((record, fault))
        return TRIAGED

    handlers = Handlers(take)
    handlers.on(CaseTriaged)(apply)
    match = resolve(broken, handlers, CLOCK)
    assert match is not None
    assert match.event.id == hashlib.sha256(broken.value or b"").hexdigest()
    assert (match.event.subject, match.event.event.source) == ("case-7", broken.topic)
    assert match.event.ordinal is None
    assert isinstance(seen[0][1], Undecodable)


def test_bytes_that_are_taken_without_a_subject_are_handled_under_their_partition() -> None:
    handlers = Handlers(lambda *_: TRIAGED)
    handlers.on(CaseTriaged)(apply)
    match = resolve(raw(b"\xff"), handlers, CLOCK)
    assert match is not None
    assert match.event.subject == "unreadable:civic.inquiry.v1:0"


@pytest.mark.parametrize("value", [b"\xff", b"", None])
def test_an_event_made_from_bytes_has_their_hash_and_the_moment_of_their_arrival(value: bytes | None) -> None:
    handlers = Handlers(lambda *_: TRIAGED)
    handlers.on(CaseTriaged)(apply)
    broken = raw(value)
    match = resolve(broken, handlers, CLOCK)
    assert match is not None
    arrived = CLOCK.effective(broken.timestamp_ms)
    inner = match.event.event
    assert (inner.type, inner.source) == ("civic.case.triaged.v1", "civic.inquiry.v1")
    assert (inner.time, inner.data, match.event.effective) == (arrived, TRIAGED, arrived)
    assert inner.id == hashlib.sha256(value or b"").hexdigest()
    assert match.event.words is None
