"""Checks that each single event left its rows, records and letters in the services that read it. Pure.

The last applied ordinal of a case says nothing about the events before it; these rows do.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness.history import EventKey, History, SeenEvent, Violation
from shared.contracts.addresses import code_of
from shared.ids import derived_id

_INQUIRY, _ROUTING = "/services/inquiry", "/services/routing"
_TIMELINE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "civic.inquiry.accepted.v1": ("accepted", ()),
    "civic.inquiry.deadline_breached.v1": ("deadline_breached", ()),
    "civic.inquiry.breach_withdrawn.v1": ("breach_withdrawn", ()),
    "civic.inquiry.replied.v1": ("replied", ("unit", "outcome", "on_time", "cycle")),
    "civic.inquiry.reopened.v1": ("reopened", ("cycle",)),
    "civic.inquiry.closed.v1": ("closed", ("outcome",)),
    "civic.case.dispatched.v1": ("dispatched", ("lead", "co", "attempt")),
    "civic.case.triaged.v1": ("triaged", ("reason",)),
    "civic.assignment.signed.v1": ("signed", ("unit", "role")),
    "civic.assignment.returned.v1": ("returned", ("unit", "role", "reason")),
}
"""The line of inquiry's timeline that an event makes, and the data that both have."""
_OWN_LINES = frozenset(line for kind, (line, _) in _TIMELINE.items() if kind.startswith("civic.inquiry."))
_PHASES = {
    "civic.inquiry.accepted.v1": "accepted",
    "civic.inquiry.replied.v1": "replied",
    "civic.inquiry.closed.v1": "closed",
    "civic.inquiry.reopened.v1": "accepted",
}
_RECORDS = {
    "civic.inquiry.replied.v1": "civic.department.action_result.v1",
    "civic.inquiry.request_refused.v1": "civic.department.action_result.v1",
    "civic.inquiry.closed.v1": "civic.department.case_closed.v1",
    "civic.inquiry.reopened.v1": "civic.department.case_reopened.v1",
}
"""The record that routing sends to a unit when it applies the event."""
_ANSWERS = frozenset({"civic.inquiry.replied.v1", "civic.inquiry.request_refused.v1"})
_NOTICED = frozenset(
    f"civic.{step}.v1"
    for step in (
        "inquiry.received",
        "inquiry.accepted",
        "case.dispatched",
        "assignment.signed",
        "inquiry.replied",
        "inquiry.deadline_breached",
        "inquiry.reopened",
        "inquiry.closed",
    )
)


class Line(NamedTuple):
    """A line of a case's timeline as inquiry keeps it."""

    inquiry: str
    kind: str
    data: Mapping[str, Any]


class File(NamedTuple):
    """What routing keeps of a case from inquiry's events."""

    inquiry: str
    phase: str
    cycle: int


class Notice(NamedTuple):
    """A row of publisher's ledger: a notice to a citizen about a step."""

    id: str
    inquiry: str
    step: str
    state: str
    attempts: int


def check_timeline(history: History, lines: Iterable[Line], forged: Container[str]) -> list[Violation]:
    """Each event of inquiry and of routing that makes a line made exactly one, in the order of its source.

    `lines` are in the order in which they were written; `forged` are subjects that no service made.
    """
    expected: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, seen in _in_order(history):
        if seen.type in _TIMELINE and key.subject not in forged and key.source in (_INQUIRY, _ROUTING):
            kind, names = _TIMELINE[seen.type]
            data = {"co": [], **seen.data}
            expected[key.subject, key.source].append(_line(kind, data, names))
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    shown = dict(_TIMELINE.values())
    for line in lines:
        source = _INQUIRY if line.kind in _OWN_LINES else _ROUTING
        found[line.inquiry, source].append(_line(line.kind, line.data, shown.get(line.kind, ())))
    return [
        violation
        for place in sorted(expected.keys() | found.keys())
        for violation in _differ(f"inquiry: timeline of {place}", expected[place], found[place])
    ]


def check_files(history: History, files: Iterable[File], forged: Container[str]) -> list[Violation]:
    """Each case file of routing is what all events of inquiry together make it."""
    expected: dict[str, File] = {}
    for key, seen in _in_order(history):
        if key.source != _INQUIRY or key.subject in forged:
            continue
        if seen.type == "civic.inquiry.received.v1":
            phase = "accepted" if seen.data.get("deadline") is not None else "received"
            expected[key.subject] = File(key.subject, phase, 1)
        elif seen.type in _PHASES:
            before = expected[key.subject]
            cycle = seen.data.get("cycle", before.cycle)
            expected[key.subject] = File(key.subject, _PHASES[seen.type], cycle)
    found = {file.inquiry: file for file in files if file.inquiry not in forged}
    return [
        Violation("I4", f"routing: {subject} is {found.get(subject)}, expected {expected.get(subject)}")
        for subject in sorted(expected.keys() | found.keys())
        if expected.get(subject) != found.get(subject)
    ]


def check_unit_records(history: History) -> list[Violation]:
    """Each answer has one record for the unit that asked, each closing and reopening one for the lead.

    Units without topics get none.
    """
    with_topic = {unit for seen in history.events.values() if (unit := code_of(seen.location.topic))}
    leads = {
        key.subject: seen.data["lead"]
        for key, seen in _in_order(history)
        if seen.type == "civic.case.dispatched.v1"
    }
    sent = Counter(
        (seen.causation, seen.type, code_of(seen.location.topic)) for seen in history.events.values()
    )
    found = []
    for key, seen in history.events.items():
        # A request that did not come from a unit has no unit to answer.
        unit = seen.data.get("unit") if seen.type in _ANSWERS else leads.get(key.subject)
        if seen.type not in _RECORDS or unit not in with_topic:
            continue
        count = sent[seen.id, _RECORDS[seen.type], unit]
        if count != 1:
            found.append(
                Violation("I2" if count else "I1", f"routing: {unit} got {count} records about {key}")
            )
    return found


def check_notices(
    history: History, ledger: Sequence[Notice], letters: Mapping[str, int], forged: Container[str] = ()
) -> list[Violation]:
    """Each step of a case with a contact has one notice that was sent, reported and received; others none.

    `letters` is how often a letter with the id of a notice was received: more than once only if an attempt
    had no known outcome, and never more often than there were attempts. `forged` are the subjects of events
    that nobody can read.
    """
    reachable = {
        key.subject
        for key, seen in history.events.items()
        if seen.type == "civic.inquiry.received.v1"
        and seen.data.get("has_contact")
        and seen.data.get("notify", True)
        and key.subject not in forged
    }
    expected = Counter(
        (derived_id(seen.id, "notice", "email"), key.subject, seen.type.removeprefix("civic.")[:-3])
        for key, seen in history.events.items()
        if seen.type in _NOTICED and key.subject in reachable and seen.data.get("role") != "co"
    )
    kept = Counter((notice.id, notice.inquiry, notice.step) for notice in ledger)
    found = [
        *(Violation("I1", f"publisher: no notice {one}") for one in (expected - kept)),
        *(Violation("I4", f"publisher: the notice {one} has no step") for one in (kept - expected)),
    ]
    reported = Counter(
        seen.data["notice"] for seen in history.events.values() if seen.type == "civic.push.notice_sent.v1"
    )
    for notice in ledger:
        if notice.state != "sent":
            found.append(Violation("I6", f"publisher: {notice} is not sent"))
        elif not 1 <= letters.get(notice.id, 0) <= notice.attempts:
            found.append(Violation("I2", f"publisher: {notice} came {letters.get(notice.id, 0)} times"))
        if reported[notice.id] != (notice.state == "sent"):
            found.append(Violation("I4", f"publisher: {notice} is reported sent {reported[notice.id]} times"))
    strange = letters.keys() - {notice.id for notice in ledger}
    return found + [Violation("I4", f"publisher: the letter {one} is in no ledger") for one in strange]


def _in_order(history: History) -> Iterator[tuple[EventKey, SeenEvent]]:
    yield from sorted(history.events.items(), key=lambda item: item[0].ordinal)


def _line(kind: str, data: Mapping[str, Any], names: Iterable[str]) -> str:
    return f"{kind} {[data.get(name) for name in names]}"


def _differ(what: str, expected: list[str], found: list[str]) -> Iterator[Violation]:
    missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    yield from (Violation("I1", f"{what}: {one} is missing") for one in missing.elements())
    yield from (Violation("I2", f"{what}: {one} has no event") for one in extra.elements())
    if not missing and not extra and expected != found:
        yield Violation("I3", f"{what}: expected {expected}, written {found}")
