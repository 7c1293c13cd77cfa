"""What of a record the log believes: every attribute, every fault, and the words only with their hash."""

from typing import Any

import orjson
import pytest

from services.audit.log.batch import Batch
from services.audit.log.entry import commitment, parse_entry, salted_commitment
from services.audit.log.parsing import EventAttributes, PreparedRecord, prepare, prepare_ahead
from services.audit.log.subjects import Subject
from shared.contracts.base import words_hash
from shared.kafka.records import RawRecord

TOPIC = "civic.inquiry.v1"
ID = "0190163d-8694-739b-aea5-966c26f8ad91"
WORDS = b'{"text":"hello"}'
EVENT: dict[str, Any] = {
    "id": ID,
    "source": "/services/inquiry",
    "type": "civic.inquiry.noted.v1",
    "subject": "case",
    "epoch": 2,
    "sequence": "0000000004",
    "salt": "AAECAwQFBgcICQoLDA0ODw",
}
KEY = bytes(range(32))


def made(words: bytes | None = None, topic: str = TOPIC, **changes: Any) -> PreparedRecord:
    """The prepared record of EVENT with other members; a member of value `...` is left out."""
    event = {name: value for name, value in (EVENT | changes).items() if value is not ...}
    headers = (("words", words),) if words is not None else ()
    (prepared,) = prepare([RawRecord(topic, 0, 7, 600_000, b"key", orjson.dumps(event), headers)])
    return prepared


def test_every_attribute_is_taken_from_the_event() -> None:
    prepared = made(WORDS, wordshash=words_hash(WORDS), correlationid="other")
    assert prepared.attributes == EventAttributes(
        event_id=ID,
        source="/services/inquiry",
        type="civic.inquiry.noted.v1",
        subject="case",
        epoch=2,
        sequence=4,
        ordinal=2 * 10**10 + 4,
        words=WORDS,
        words_refused=False,
        correlation="other",
    )
    assert prepared.commitment == commitment(prepared.record.value or b"")
    assert (prepared.subject, prepared.fault, prepared.salt) == ("case", None, b"")


@pytest.mark.parametrize(
    ("words", "wordshash", "taken", "refused"),
    [
        (WORDS, words_hash(WORDS), WORDS, False),
        (WORDS, words_hash(b"other"), None, True),
        (WORDS, ..., None, True),
        (None, words_hash(WORDS), None, False),  # erased on the way: that is no fault
        (None, ..., None, False),
    ],
)
def test_words_are_taken_only_with_their_hash(
    words: bytes | None, wordshash: Any, taken: bytes | None, refused: bool
) -> None:
    attributes = made(words, wordshash=wordshash).attributes
    assert attributes is not None
    assert (attributes.words, attributes.words_refused) == (taken, refused)


@pytest.mark.parametrize("epoch", [0, 1, 9 * 10**8])
def test_an_epoch_that_fits_is_taken(epoch: int) -> None:
    attributes = made(epoch=epoch).attributes
    assert attributes is not None
    assert attributes.epoch == epoch


def test_without_an_epoch_it_is_the_first() -> None:
    attributes = made(epoch=...).attributes
    assert attributes is not None
    assert (attributes.epoch, attributes.ordinal) == (1, 10**10 + 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", 9 * 10**8 + 1),
        ("epoch", -1),
        ("epoch", True),
        ("epoch", "1"),
        ("epoch", 1.0),
        ("sequence", 4),
        ("sequence", "4"),
        ("sequence", "00000000004"),
        ("sequence", ...),
        ("salt", ...),
        ("salt", "x" * 15),
        ("salt", 12345678901234567),
        ("id", ID.upper()),
        ("id", ...),
        ("source", "/services/routing"),
        ("source", "/services/inquiry/x"),
        ("source", "inquiry"),
        ("type", "civic.inquiry.noted"),
        ("type", "civic." + "x" * 100 + ".v1"),
        ("subject", ""),
        ("subject", "x" * 201),
        ("subject", "a\0b"),
        ("subject", ...),
    ],
)
def test_a_member_of_another_form_makes_the_record_unparseable(name: str, value: Any) -> None:
    prepared = made(**{name: value})
    assert prepared.attributes is None
    assert prepared.fault
    assert name in prepared.fault or name == "source"
    assert len(prepared.salt) == 16
    assert prepared.commitment == salted_commitment(prepared.salt, prepared.record.value or b"")
    assert prepared.subject == f"unparseable/{TOPIC}/0/7"


def test_a_salt_of_16_characters_is_long_enough() -> None:
    assert made(salt="x" * 16).attributes is not None


@pytest.mark.parametrize("length", [1, 200])
def test_a_subject_of_1_to_200_characters_is_taken(length: int) -> None:
    assert made(subject="x" * length).attributes is not None


@pytest.mark.parametrize(
    ("value", "fault"), [(b"{", "not JSON"), (b"[]", "not a JSON object"), (None, "not JSON")]
)
def test_what_is_no_object_is_unparseable(value: bytes | None, fault: str) -> None:
    (prepared,) = prepare([RawRecord(TOPIC, 0, 0, 0, None, value)])
    assert prepared.attributes is None
    assert fault in (prepared.fault or "")


def test_a_source_of_a_department_is_of_the_service_that_writes_for_it() -> None:
    source = "/services/routing/departments/water"
    assert made(topic="civic.routing.v1", source=source).attributes is not None
    assert made(topic="civic.inquiry.v1", source=source).attributes is None


@pytest.mark.parametrize(
    ("correlation", "taken"),
    [
        ("case", None),
        (..., None),
        (5, None),
        ("", None),
        ("x" * 201, None),
        ("a\0", None),
        ("x" * 200, "x" * 200),
        ("y", "y"),
    ],
)
def test_a_correlation_is_taken_if_it_is_another_than_the_subject(
    correlation: Any, taken: str | None
) -> None:
    attributes = made(correlationid=correlation).attributes
    assert attributes is not None
    assert attributes.correlation == taken


async def test_records_prepared_ahead_are_those_prepared_at_once_and_in_order() -> None:
    records = [RawRecord(TOPIC, 0, offset, 0, None, orjson.dumps(EVENT)) for offset in range(130)]
    ahead = await prepare_ahead(records)
    assert ahead == prepare(records)
    assert [one.record.offset for one in ahead] == list(range(130))


def added(subject: Subject, *records: PreparedRecord, **batch: Any) -> Batch:
    log = Batch(100, **batch)
    log.add_all(records, {record.subject: subject for record in records})
    return log


def test_an_erasure_by_inquiry_destroys_the_key_from_the_next_record_on() -> None:
    subject = Subject(3, KEY)
    log = added(
        subject,
        made(WORDS, wordshash=words_hash(WORDS), sequence="0000000001"),
        made(type="civic.inquiry.erased.v1", sequence="0000000002"),
        made(WORDS, wordshash=words_hash(WORDS), sequence="0000000003"),
    )
    assert log.erased == {3}
    assert subject.key is None
    assert ["subject" in parse_entry(entry) for entry in log.entries] == [True, True, False]
    assert [(no, index) for no, index, _ in log.words_rows] == [(3, 100)]


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "civic.routing.v1", "source": "/services/routing"},  # routing erases nobody
        {"type": "civic.inquiry.noted.v1"},
    ],
)
def test_only_an_erasure_by_inquiry_erases(changes: dict[str, Any]) -> None:
    subject = Subject(3, KEY)
    log = added(subject, made(**({"type": "civic.inquiry.erased.v1"} | changes)))
    assert (log.erased, subject.key) == (set(), KEY)


def test_a_repeated_value_is_a_duplicate_and_another_value_of_one_place_an_incident() -> None:
    first, other = made(), made(more=1)
    log = added(Subject(3, KEY), first, first, other)
    assert (log.duplicates, log.incidents, len(log.entries)) == (1, 1, 2)
    members = parse_entry(log.entries[1])
    assert (members["kind"], members["first"]) == ("incident", 100)
    known = {(3, "/services/inquiry", 2 * 10**10 + 4): [(50, first.record.value or b"")]}
    again = added(Subject(3, KEY), first, other, known=known)
    assert (again.duplicates, again.incidents) == (1, 1)
    assert parse_entry(again.entries[0])["first"] == 50


def test_a_second_value_that_claims_to_be_an_erasure_erases_nobody() -> None:
    subject = Subject(3, KEY)
    log = added(subject, made(), made(type="civic.inquiry.erased.v1"))
    assert (log.incidents, log.erased, subject.key) == (1, set(), KEY)


def test_every_entry_has_its_row_and_correlations_lead_to_the_subject() -> None:
    subject = Subject(3, KEY)
    record = made(b"else", wordshash=words_hash(WORDS), correlationid="other")
    log = added(subject, record)
    assert log.entry_rows == [
        (
            *(100, "event", 600_000, 3),
            *(2 * 10**10 + 4, ID, "/services/inquiry", "civic.inquiry.noted.v1"),
            *(log.entries[0], record.record.value, None),
        )
    ]
    assert (log.correlations, log.words_refused, log.words_rows) == ({("other", 3)}, 1, [])
    assert subject.last == {"/services/inquiry": 2 * 10**10 + 4}


def test_words_are_sealed_for_their_entry_alone() -> None:
    subject = Subject(3, KEY)
    log = added(subject, made(WORDS, wordshash=words_hash(WORDS)))
    ((no, index, sealed),) = log.words_rows
    assert (no, index, subject.unseal(100, sealed)) == (3, 100, WORDS)


def test_an_unparseable_record_is_logged_with_its_opening_kept_apart() -> None:
    subject = Subject(3, KEY)
    record = made(id=...)
    log = added(subject, record)
    members = parse_entry(log.entries[0])
    assert members == {
        **{"v": 1, "kind": "unparseable", "time": "1970-01-01T00:10Z", "topic": TOPIC, "partition": 0},
        **{"offset": 7, "commitment": record.commitment},
    }
    assert log.entry_rows == [
        (100, "unparseable", 600_000, 3, None, None, None, None, log.entries[0], None, record.fault)
    ]
    ((_, __, sealed),) = log.words_rows
    assert subject.unseal(100, sealed) == record.salt + (record.record.value or b"")
    assert log.unparseable == 1
