"""The checks look at each event by itself: one that is lost in the middle is found."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from harness.at_rest import CoreState, check_core
from harness.history import History, Violation
from harness.traces import (
    File,
    Line,
    Notice,
    check_files,
    check_notices,
    check_timeline,
    check_unit_records,
)
from shared.ids import derived_id
from shared.kafka.records import RawRecord

INQUIRY, ROUTING, PUBLISHER = "/services/inquiry", "/services/routing", "/services/publisher"
EPOCH = 10**10
NOBODY: frozenset[str] = frozenset()


def identifier(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012d}"


class Topics:
    """The topics of a case, event by event."""

    def __init__(self) -> None:
        self.history = History("t")
        self._offset = 0
        self._last: dict[str, int] = {}

    def add(
        self, topic: str, kind: str, source: str, number: int, cause: int | None = None, **data: Any
    ) -> None:
        self._last[source] = self._last.get(source, 0) + 1
        event = {
            "id": identifier(number),
            "source": source,
            "subject": "case",
            "type": f"civic.{kind}.v1",
            "sequence": f"{self._last[source]:010d}",
            "correlationid": "case",
            "data": data,
        }
        if cause is not None:
            event["causationid"] = identifier(cause)
        self._offset += 1
        self.history.add(RawRecord(topic, 0, self._offset, 0, b"case", orjson.dumps(event), ()))


@pytest.fixture
def history() -> History:
    """Received with a contact, dispatched, signed, replied, reopened, replied again, closed."""
    topics = Topics()
    unit, department = "t.department.water.v1", f"{ROUTING}/departments/water"

    def inquiry(kind: str, number: int, cause: int | None = None, **data: Any) -> None:
        topics.add("t.inquiry.v1", f"inquiry.{kind}", INQUIRY, number, cause, **data)

    inquiry("received", 1, has_contact=True, deadline={})
    topics.add("t.routing.v1", "case.dispatched", ROUTING, 2, 1, lead="water", attempt=1)
    topics.add("t.routing.v1", "assignment.signed", ROUTING, 3, unit="water", role="lead", action="a")
    topics.add("t.routing.v1", "assignment.signed", ROUTING, 4, unit="parks", role="co", action="a")
    for cycle, number in ((1, 5), (2, 8)):
        inquiry("replied", number, unit="water", outcome="solved", on_time=True, cycle=cycle)
        topics.add(unit, "department.action_result", department, 100 + number, number)
        if cycle == 1:
            inquiry("reopened", 6, cycle=2)
            topics.add(unit, "department.case_reopened", department, 106, 6)
    inquiry("closed", 9, outcome="evaluated", cycle=2)
    topics.add(unit, "department.case_closed", department, 109, 9)
    for number in (1, 2, 3, 5, 6, 8, 9):
        notice = derived_id(identifier(number), "notice", "email")
        topics.add("t.publisher.v1", "push.notice_sent", PUBLISHER, 200 + number, notice=notice)
    return topics.history


LINES = [
    Line("case", "dispatched", {"lead": "water", "co": [], "attempt": 1}),
    Line("case", "signed", {"unit": "water", "role": "lead"}),
    Line("case", "signed", {"unit": "parks", "role": "co"}),
    Line("case", "replied", {"unit": "water", "outcome": "solved", "on_time": True, "cycle": 1}),
    Line("case", "reopened", {"cycle": 2, "due": "later"}),
    Line("case", "replied", {"unit": "water", "outcome": "solved", "on_time": True, "cycle": 2}),
    Line("case", "closed", {"outcome": "evaluated"}),
]
LEDGER = [
    Notice(derived_id(identifier(number), "notice", "email"), "case", step, "sent", 1)
    for number, step in (
        (1, "inquiry.received"),
        (2, "case.dispatched"),
        (3, "assignment.signed"),
        (5, "inquiry.replied"),
        (6, "inquiry.reopened"),
        (8, "inquiry.replied"),
        (9, "inquiry.closed"),
    )
]
LETTERS = {notice.id: 1 for notice in LEDGER}


def invariants(violations: Sequence[Violation]) -> set[str]:
    return {violation.invariant for violation in violations}


def test_what_every_event_left_behind_passes(history: History) -> None:
    assert check_timeline(history, LINES, NOBODY) == []
    assert check_files(history, [File("case", "closed", 2)], NOBODY) == []
    assert check_unit_records(history) == []
    assert check_notices(history, LEDGER, LETTERS) == []


def test_positions_alone_do_not_show_what_is_lost_in_the_middle(history: History) -> None:
    """Why the rest of this file is there."""
    state = CoreState("inquiry", 0, {}, {}, {"case": {INQUIRY: EPOCH + 5, ROUTING: EPOCH + 3}}, NOBODY, 0)
    handled = frozenset({"civic.assignment.signed.v1", "civic.case.dispatched.v1"})
    assert check_core(history, state, handled=handled, reads=frozenset({"t.routing.v1"})) == []
    assert invariants(check_timeline(history, [LINES[0], *LINES[2:]], NOBODY)) == {"I1"}


@pytest.mark.parametrize("lost", range(len(LINES)))
def test_an_event_that_left_no_line_is_found(history: History, lost: int) -> None:
    assert invariants(check_timeline(history, LINES[:lost] + LINES[lost + 1 :], NOBODY)) == {"I1"}


def test_an_event_that_was_applied_twice_or_out_of_order_is_found(history: History) -> None:
    assert invariants(check_timeline(history, [*LINES, LINES[1]], NOBODY)) == {"I2"}
    assert invariants(check_timeline(history, [LINES[0], LINES[2], LINES[1], *LINES[3:]], NOBODY)) == {"I3"}


def test_a_case_file_that_has_missed_an_event_is_found(history: History) -> None:
    for file in (File("case", "replied", 2), File("case", "closed", 1)):
        assert invariants(check_files(history, [file], NOBODY)) == {"I4"}
    assert invariants(check_files(history, [], NOBODY)) == {"I4"}


@pytest.mark.parametrize("number", [105, 106, 108, 109])
def test_a_unit_without_its_record_is_found(history: History, number: int) -> None:
    for key, seen in list(history.events.items()):
        if seen.id == identifier(number):
            del history.events[key]
    assert invariants(check_unit_records(history)) == {"I1"}


@pytest.mark.parametrize("lost", range(len(LEDGER)))
def test_a_step_without_notice_is_found(history: History, lost: int) -> None:
    found = check_notices(history, LEDGER[:lost] + LEDGER[lost + 1 :], LETTERS)
    assert "I1" in invariants(found)


@pytest.mark.parametrize(
    ("ledger", "letters", "invariant"),
    [
        (LEDGER, LETTERS | {LEDGER[0].id: 0}, "I2"),
        (LEDGER, LETTERS | {LEDGER[0].id: 2}, "I2"),
        (LEDGER, LETTERS | {"another": 1}, "I4"),
        ([*LEDGER, LEDGER[0]._replace(id="another", step="case.triaged")], LETTERS, "I4"),
        ([*LEDGER, LEDGER[0]], LETTERS, "I4"),
        ([LEDGER[0]._replace(state="failed"), *LEDGER[1:]], LETTERS, "I6"),
    ],
)
def test_a_notice_that_is_wrong_is_found(
    history: History, ledger: list[Notice], letters: dict[str, int], invariant: str
) -> None:
    assert invariant in invariants(check_notices(history, ledger, letters))


def test_a_letter_that_came_twice_after_an_attempt_without_outcome_is_no_fault(history: History) -> None:
    ledger = [LEDGER[0]._replace(attempts=2), *LEDGER[1:]]
    assert check_notices(history, ledger, LETTERS | {LEDGER[0].id: 2}) == []


def test_a_case_without_contact_has_no_notice(history: History) -> None:
    for key, seen in list(history.events.items()):
        if seen.type == "civic.push.notice_sent.v1":
            del history.events[key]
        elif seen.type == "civic.inquiry.received.v1":
            seen.data["has_contact"] = False  # type: ignore[index]
    assert check_notices(history, [], {}) == []
    assert "I4" in invariants(check_notices(history, LEDGER[:1], {LEDGER[0].id: 1}))
