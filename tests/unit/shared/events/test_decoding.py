"""Decoding: what is skipped, what is refused, and what is believed of a foreign writer."""

import orjson
import pytest

from harness.fixed_clock import FixedClock
from shared.contracts.inquiry import InquiryReceived, InquiryWords
from shared.contracts.registry import REGISTRY
from shared.contracts.routing import CaseTriaged, SignAction
from shared.errors import Undecodable, UnknownVersion
from shared.events.decoding import contract_of, decode, peek_field, peek_type, unreadable_subject
from shared.kafka.records import RawRecord
from tests.unit.shared.made import CASE, NOW, raw, record

RECEIVED = InquiryReceived(
    number="20261124-7K3M9Q2XWB-F",
    kind="complaint",
    service_code="street-light",
    channel="web",
    secret_hash="0" * 64,
)
WORDS = InquiryWords(title="路灯不亮", text="两天了")
CLOCK = FixedClock(NOW)


def action(**changes: object) -> RawRecord:
    event = {
        "specversion": "1.0",
        "id": "oa-1",
        "source": "/made-up",
        "type": "civic.action.sign.v1",
        "subject": CASE,
        "time": "2026-11-24T08:00:00Z",
        "data": {},
    }
    return raw(orjson.dumps({**event, **changes}), topic="civic.department.water.actions.v1")


def test_an_event_is_decoded_with_its_words_and_its_time_of_arrival() -> None:
    made = record(RECEIVED, WORDS)
    event = decode(made, RECEIVED.contract, CLOCK)
    assert (event.data, event.words, event.subject) == (RECEIVED, WORDS, CASE)
    assert event.effective == NOW
    assert event.ordinal == 10**10 + 1
    assert event.record is made


def test_an_erased_event_is_decoded_without_words() -> None:
    made = record(RECEIVED, WORDS)
    made.headers = ()
    assert decode(made, RECEIVED.contract, CLOCK).words is None


@pytest.mark.parametrize(
    "words", [b'{"salt":"x","title":"a","text":"b"}', b"", b"\xff"], ids=["others", "empty", "not text"]
)
def test_words_that_the_value_does_not_vouch_for_are_refused(words: bytes) -> None:
    made = record(RECEIVED, WORDS)
    made.headers = (("words", words),)
    with pytest.raises(Undecodable, match="do not match `wordshash`"):
        decode(made, RECEIVED.contract, CLOCK)


def test_the_type_is_read_from_a_foreign_writers_value_too() -> None:
    assert peek_type(record(RECEIVED).value or b"") == "civic.inquiry.received.v1"
    assert peek_type(b'{ "id": "1", "type" : "other.type" }') == "other.type"


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'"text"', b'{"type": 3}', b"{}", b"\xff"])
def test_bytes_without_a_type_are_no_event(value: bytes) -> None:
    with pytest.raises(Undecodable):
        peek_type(value)


def test_an_unknown_type_is_skipped_and_a_new_version_of_a_known_one_is_not() -> None:
    assert contract_of(b'{"type":"civic.inquiry.praised.v1"}') is None
    assert contract_of(record(RECEIVED).value) is REGISTRY["civic.inquiry.received.v1"]
    with pytest.raises(UnknownVersion) as caught:
        contract_of(b'{"type":"civic.inquiry.received.v2"}')
    assert caught.value.family == "civic.inquiry.received"
    with pytest.raises(Undecodable, match="no value"):
        contract_of(None)


@pytest.mark.parametrize("topic", ["civic.routing.v1", "civic.department.water.v1", "civic.inquiry.v2"])
def test_an_event_counts_on_its_writers_topic_alone(topic: str) -> None:
    with pytest.raises(Undecodable, match="does not belong on"):
        decode(record(RECEIVED, topic=topic), RECEIVED.contract, CLOCK)


def test_only_the_topic_says_which_unit_has_acted() -> None:
    made = action(
        sequence="0000000007",
        actor="unit:police",
        correlationid="mine",
        policyversion="mine@1",
        jurisdiction="x",
    )
    event = decode(made, SignAction.contract, CLOCK)
    assert event.event.source == "civic.department.water.actions.v1"
    assert event.event.actor == "unit:water"
    assert event.ordinal is None
    assert (event.event.correlationid, event.event.policyversion, event.event.jurisdiction) == (None,) * 3


def test_an_action_on_a_topic_that_is_not_for_actions_is_refused() -> None:
    made = action()
    made.topic = "civic.department.water.v1"
    with pytest.raises(Undecodable, match="does not belong on"):
        decode(made, SignAction.contract, CLOCK)


def test_a_refusal_names_the_fields_but_at_most_five() -> None:
    event = orjson.loads(record(RECEIVED).value or b"")
    event["data"] = {}
    with pytest.raises(Undecodable, match=r"data\.number: Field required") as caught:
        decode(raw(orjson.dumps(event)), RECEIVED.contract, CLOCK)
    assert str(caught.value).count("Field required") == 5


def test_fields_of_a_newer_release_are_skipped() -> None:
    event = orjson.loads(record(CaseTriaged(reason="no_rule", attempt=1)).value or b"")
    event["data"]["newer"] = 1
    made = raw(orjson.dumps({**event, "later": 2}), topic="civic.routing.v1")
    assert decode(made, CaseTriaged.contract, CLOCK).data == CaseTriaged(reason="no_rule", attempt=1)


def test_a_nul_character_is_refused_before_it_reaches_the_database() -> None:
    with pytest.raises(Undecodable, match="subject"):
        decode(action(subject="a\x00b"), SignAction.contract, CLOCK)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"subject":"case"}', "case"),
        (b'{"subject":""}', None),
        (b'{"subject":"' + b"x" * 201 + b'"}', None),
        (b'{"subject":"a\\u0000"}', None),
        (b'{"subject":7}', None),
        (b"[]", None),
        (b"{", None),
        (None, None),
    ],
)
def test_a_field_is_peeked_at_only_if_it_is_a_short_text(value: bytes | None, found: str | None) -> None:
    assert peek_field(raw(value), "subject") == found


def test_bytes_without_a_subject_are_handled_under_their_partition() -> None:
    assert unreadable_subject("t", 3) == "unreadable:t:3"
