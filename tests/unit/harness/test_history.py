"""The history checker finds what it is for: a good history passes, and each fault in it is found."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from harness.at_rest import (
    CoreState,
    LogEntry,
    check_acknowledged,
    check_core,
    check_log,
    check_resent,
)
from harness.history import History, Violation
from shared.kafka.records import RawRecord

INQUIRY, ROUTING = "/services/inquiry", "/services/routing"
WATER = "/services/routing/departments/water"
EPOCH = 10**10


class Topics:
    """A broker with one partition a topic, on which a good history stands."""

    def __init__(self) -> None:
        self.records: list[RawRecord] = []

    def put(
        self, topic: str, key: str, value: bytes, words: bytes | None = None, partition: int = 0
    ) -> RawRecord:
        offset = sum(record.topic == topic for record in self.records)
        headers = (("words", words),) if words else ()
        record = RawRecord(topic, partition, offset, 0, key.encode(), value, headers)
        self.records.append(record)
        return record

    def event(self, topic: str, kind: str, identifier: str, sequence: int, **more: Any) -> RawRecord:
        source = {"t.inquiry.v1": INQUIRY, "t.routing.v1": ROUTING}.get(topic, WATER)
        event = {
            "id": identifier,
            "source": source,
            "subject": "case",
            "type": f"civic.{kind}.v1",
            "sequence": f"{sequence:010d}",
            "epoch": 1,
            "correlationid": "case",
            "data": {},
        }
        event.update(more)
        return self.put(topic, event["subject"], orjson.dumps(event))  # type: ignore[arg-type]

    def action(self, identifier: str) -> RawRecord:
        action = {
            "id": identifier,
            "source": "/x",
            "subject": "case",
            "type": "civic.action.sign.v1",
            "data": {},
        }
        return self.put("t.department.water.actions.v1", "case", orjson.dumps(action))

    def history(self) -> History:
        history = History("t")
        for record in self.records:
            history.add(record)
        return history

    def violations(self) -> list[Violation]:
        return self.history().violations()


@pytest.fixture
def topics() -> Topics:
    """Received, dispatched to water, delivered, signed: what a small good history looks like."""
    topics = Topics()
    topics.event("t.inquiry.v1", "inquiry.received", "r", 1)
    lead = {"lead": "water", "co": ["unit-without-topic"]}
    topics.event("t.routing.v1", "case.dispatched", "d", 1, causationid="r", data=lead)
    unit = "t.department.water.v1"
    offer = topics.event(unit, "department.case_offered", "o", 1, causationid="d")
    delivered(topics, offer, "s1", 2)
    topics.action("a")
    signed = {"unit": "water", "action": "a"}
    topics.event("t.routing.v1", "assignment.signed", "s", 3, causationid="a", data=signed)
    return topics


def delivered(topics: Topics, record: RawRecord, identifier: str, sequence: int, **changes: Any) -> None:
    data = place(record) | changes
    topics.event(
        "t.routing.v1", "delivery.succeeded", identifier, sequence, causationid=data["record"], data=data
    )


def place(record: RawRecord) -> dict[str, Any]:
    return {
        "record": orjson.loads(record.value or b"")["id"],
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "hash": hashlib.sha256(record.value or b"").hexdigest(),
    }


def test_a_good_history_passes(topics: Topics) -> None:
    assert topics.violations() == []


def answered(topics: Topics, action: str, *, accepted: bool, sequence: int = 1) -> None:
    """The result of an action under the unit's own subject, which no event follows."""
    topics.event(
        "t.department.water.v1",
        "department.action_result",
        f"{action}-result-{sequence}",
        sequence,
        subject="water",
        correlationid="water",
        data={"action": action, "accepted": accepted},
    )


def test_an_action_may_be_refused_by_its_result_alone(topics: Topics) -> None:
    topics.action("b")
    answered(topics, "b", accepted=False)
    assert topics.violations() == []


def test_one_event_may_state_several_deliveries(topics: Topics) -> None:
    topics.records.clear()
    topics.event("t.inquiry.v1", "inquiry.received", "r", 1)
    units = {"lead": "water", "co": ["power"]}
    topics.event("t.routing.v1", "case.dispatched", "d", 1, causationid="r", data=units)
    water, power = (
        topics.event(
            f"t.department.{unit}.v1",
            "department.case_offered",
            f"o-{unit}",
            1,
            causationid="d",
            source=f"/services/routing/departments/{unit}",
        )
        for unit in ("water", "power")
    )
    delivered(topics, water, "s1", 2, others=[place(power)])
    assert topics.violations() == []


def test_what_is_sent_twice_with_the_same_bytes_is_no_fault(topics: Topics) -> None:
    for record in list(topics.records):
        topics.put(record.topic, (record.key or b"").decode(), record.value or b"", record.header("words"))
    history = topics.history()
    assert history.violations() == []
    assert history.resent == 5


def test_noise_is_counted_and_harmless(topics: Topics) -> None:
    topics.put("t.inquiry.v1", "x", b"\xff\xfe")
    history = topics.history()
    assert history.violations() == []
    assert len(history.unreadable) == 1


def drop(kind: str) -> Callable[[Topics], None]:
    def broken(topics: Topics) -> None:
        topics.records = [r for r in topics.records if kind.encode() not in (r.value or b"")]

    return broken


def other_bytes(topics: Topics) -> None:
    topics.event("t.inquiry.v1", "inquiry.received", "r", 1, data={"urgent": True})


def other_words(topics: Topics) -> None:
    first = topics.records[0]
    topics.put(first.topic, "case", first.value or b"", b'{"salt":"x"}')


def swapped(topics: Topics) -> None:
    topics.event("t.inquiry.v1", "inquiry.closed", "c", 3)
    topics.event("t.inquiry.v1", "inquiry.replied", "p", 2)


def applied_twice(topics: Topics) -> None:
    lead = {"lead": "water"}
    topics.event("t.routing.v1", "case.dispatched", "d", 4, causationid="r", data=lead)


def without_cause(topics: Topics) -> None:
    topics.event("t.inquiry.v1", "inquiry.replied", "p", 2, causationid="nowhere")


def off_its_trace(topics: Topics) -> None:
    topics.event("t.inquiry.v1", "inquiry.replied", "p", 2, causationid="s", correlationid="other")


def on_two_partitions(topics: Topics) -> None:
    record = topics.event("t.inquiry.v1", "inquiry.replied", "p", 2)
    topics.records[-1] = dataclasses.replace(record, partition=1)


def under_another_key(topics: Topics) -> None:
    record = topics.event("t.inquiry.v1", "inquiry.replied", "p", 2)
    topics.records[-1] = dataclasses.replace(record, key=b"other")


def delivered_twice(topics: Topics) -> None:
    delivered(topics, topics.records[2], "s2", 4)


def delivered_with_another_hash(topics: Topics) -> None:
    topics.records.pop(3)
    delivered(topics, topics.records[2], "s1", 2, hash="00")


def delivered_elsewhere(topics: Topics) -> None:
    topics.records.pop(3)
    delivered(topics, topics.records[2], "s1", 2, offset=7)


def delivered_twice_by_one_event(topics: Topics) -> None:
    topics.records.pop(3)
    delivered(topics, topics.records[2], "s1", 2, others=[place(topics.records[2])])


def another_record_not_stated(topics: Topics) -> None:
    offer = topics.event("t.department.water.v1", "department.case_offered", "o2", 2, causationid="d")
    topics.records.pop(3)
    delivered(topics, topics.records[2], "s1", 2, others=[place(offer) | {"hash": "00"}])


def offered_without_dispatch(topics: Topics) -> None:
    offer = topics.event("t.department.water.v1", "department.case_offered", "o2", 2, causationid="r")
    delivered(topics, offer, "s2", 4)


def dispatched_without_offer(topics: Topics) -> None:
    lead = {"lead": "water"}
    topics.event("t.routing.v1", "case.dispatched", "d2", 4, causationid="r", data=lead)


def action_lost(topics: Topics) -> None:
    topics.action("b")


def action_applied_twice(topics: Topics) -> None:
    signed = {"unit": "water", "action": "a"}
    topics.event("t.routing.v1", "assignment.returned", "s2", 4, causationid="a", data=signed)


def refused_twice(topics: Topics) -> None:
    topics.action("b")
    for sequence in (1, 2):
        answered(topics, "b", accepted=False, sequence=sequence)


def done_without_an_event(topics: Topics) -> None:
    topics.action("b")
    answered(topics, "b", accepted=True)


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (drop("delivery.succeeded"), "I1"),
        (drop("inquiry.received"), "I8"),
        (drop("assignment.signed"), "I1"),
        (other_bytes, "I2"),
        (other_words, "I2"),
        (swapped, "I3"),
        (applied_twice, "I2"),
        (without_cause, "I8"),
        (off_its_trace, "I8"),
        (on_two_partitions, "I3"),
        (under_another_key, "I3"),
        (delivered_twice, "I4"),
        (delivered_with_another_hash, "I4"),
        (delivered_elsewhere, "I4"),
        (delivered_twice_by_one_event, "I4"),
        (another_record_not_stated, "I4"),
        (offered_without_dispatch, "I4"),
        (dispatched_without_offer, "I4"),
        (action_lost, "I1"),
        (action_applied_twice, "I2"),
        (refused_twice, "I2"),
        (done_without_an_event, "I1"),
        (done_without_an_event, "I4"),
    ],
)
def test_each_fault_is_found(topics: Topics, damage: Callable[[Topics], None], invariant: str) -> None:
    damage(topics)
    assert invariant in {violation.invariant for violation in topics.violations()}


def test_an_acknowledged_write_that_is_nowhere_is_found(topics: Topics) -> None:
    history = topics.history()
    assert check_acknowledged(history, [("case", 1)]) == []
    assert [v.invariant for v in check_acknowledged(history, [("case", 2), ("lost", 1)])] == ["I1", "I1"]


def test_what_is_sent_again_is_excused_by_a_fault_before_it_alone(topics: Topics) -> None:
    assert check_resent(topics.history(), None) == []
    topics.records.append(dataclasses.replace(topics.records[0], offset=9, timestamp_ms=5000))
    history = topics.history()
    assert check_resent(history, 5000) == []
    for broken_since_ms in (None, 5001):
        assert [v.invariant for v in check_resent(history, broken_since_ms)] == ["relay"]


GOOD = CoreState(
    service="routing",
    outbox=0,
    cursors={("routing", "t.inquiry.v1", 0): 1},
    ends={("routing", "t.inquiry.v1", 0): 1, ("routing", "t.inquiry.v1", 1): 0},
    sequences={"case": {INQUIRY: EPOCH + 1, ROUTING: EPOCH + 3, WATER: EPOCH + 1}},
    parked=frozenset(),
    dead=0,
)


@pytest.mark.parametrize(
    ("state", "invariant"),
    [
        (GOOD, None),
        (dataclasses.replace(GOOD, outbox=1), "I6"),
        (dataclasses.replace(GOOD, cursors={}), "I6"),
        (dataclasses.replace(GOOD, parked=frozenset({"case"})), "I5"),
        (dataclasses.replace(GOOD, dead=1), "I5"),
        (dataclasses.replace(GOOD, awaited={"case": "delivery"}), "answered"),
        (dataclasses.replace(GOOD, sequences={"case": {ROUTING: EPOCH + 3, WATER: EPOCH + 1}}), "I1"),
        (
            dataclasses.replace(
                GOOD, sequences={"case": {INQUIRY: EPOCH + 1, ROUTING: EPOCH + 4, WATER: EPOCH + 1}}
            ),
            "I4",
        ),
        (dataclasses.replace(GOOD, sequences={"case": {INQUIRY: EPOCH + 1, ROUTING: EPOCH + 3}}), "I4"),
    ],
)
def test_tables_that_differ_from_the_topics_are_found(
    topics: Topics, state: CoreState, invariant: str | None
) -> None:
    found = check_core(
        topics.history(),
        state,
        handled=frozenset({"civic.inquiry.received.v1"}),
        reads=frozenset({"t.inquiry.v1"}),
    )
    assert {violation.invariant for violation in found} == ({invariant} if invariant else set())


def entries(topics: Topics) -> list[LogEntry]:
    return [
        LogEntry("event", key.source, key.subject, key.ordinal, seen.digest)
        for key, seen in topics.history().events.items()
        if seen.location.topic in ("t.inquiry.v1", "t.routing.v1")
    ]


def test_a_log_that_differs_from_the_topics_is_found(topics: Topics) -> None:
    topics.put("t.inquiry.v1", "x", b"noise")
    history = topics.history()
    noise = LogEntry("unparseable", None, "x", None, b"")
    good = [*entries(topics), noise]
    assert check_log(history, good) == []
    for bad in (
        good[1:],
        good[:-1],
        [*good, good[0]],
        [*good, noise],
        [*good, LogEntry("event", INQUIRY, "case", EPOCH + 9, b"")],
        [*good, LogEntry("incident", INQUIRY, "case", EPOCH + 1, b"")],
        [good[0]._replace(digest=b""), *good[1:]],
        [good[0]._replace(ordinal=None), *good[1:]],
    ):
        assert {violation.invariant for violation in check_log(history, bad)} == {"I9"}
