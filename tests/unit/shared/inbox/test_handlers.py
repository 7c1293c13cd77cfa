"""The table of handlers."""

from typing import Any

import pytest

from shared.contracts.inquiry import InquiryClosed
from shared.contracts.routing import CaseTriaged
from shared.events.decoding import IncomingEvent
from shared.inbox.handlers import Handlers, Results, accept_all
from shared.unit_of_work.transaction import Tx
from tests.unit.shared.made import CASE, record


async def apply(tx: Tx, events: list[IncomingEvent[Any]]) -> Results:
    return None


def test_a_handler_is_found_by_its_type() -> None:
    handlers = Handlers()
    assert handlers.on(CaseTriaged)(apply) is apply
    found = handlers["civic.case.triaged.v1"]
    assert (found.run, found.contract, found.accepts) == (apply, CaseTriaged.contract, accept_all)
    assert handlers.get("civic.inquiry.closed.v1") is None
    with pytest.raises(KeyError):
        handlers["civic.inquiry.closed.v1"]


def test_a_second_handler_for_a_type_is_refused() -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged)(apply)
    with pytest.raises(ValueError, match="has a handler already"):
        handlers.on(CaseTriaged)(apply)


def test_families_are_the_types_without_their_versions() -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged)(apply)
    handlers.on(InquiryClosed)(apply)
    assert handlers.families == {"civic.case.triaged", "civic.inquiry.closed"}


def test_by_default_an_event_locks_its_subject_and_nothing_is_handled_in_place_of_bytes() -> None:
    handlers = Handlers()
    handlers.on(CaseTriaged)(apply)
    event: Any = type("Event", (), {"subject": CASE})
    assert list(handlers["civic.case.triaged.v1"].locks(event)) == [CASE]
    assert handlers.on_unhandled(record(CaseTriaged(reason="no_rule", attempt=1)), None) is None
