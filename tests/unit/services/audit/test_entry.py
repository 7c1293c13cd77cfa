"""The entry format is final: its bytes are fixed here."""

import hashlib

import pytest

from services.audit.log.batch import Batch
from services.audit.log.entry import (
    commitment,
    encode_entry,
    parse_entry,
    pseudonym,
    salted_commitment,
    time_bucket,
)
from services.audit.log.errors import Malformed
from services.audit.log.parsing import EventAttributes, PreparedRecord, prepare
from services.audit.log.reset import Reset, reset_of
from services.audit.log.subjects import Subject
from shared.kafka.records import RawRecord

KEY = bytes(range(32))
VALUE = b'{"a":"fact"}'
RECORD = RawRecord("civic.inquiry.v1", 3, 48211, 1_795_483_512_345, b"key", VALUE)
EVENT = PreparedRecord(
    RECORD,
    commitment(VALUE),
    EventAttributes(
        event_id="0190163d-8694-739b-aea5-966c26f8ad91",
        source="/services/inquiry",
        type="civic.inquiry.accepted.v1",
        subject="subject",
        epoch=1,
        sequence=4,
        ordinal=10**10 + 4,
        words=None,
        words_refused=False,
    ),
)
GOLDEN_EVENT = (
    b'{"commitment":"9607cb75624a14e7e13087f689221a31d5004f9939c3d3bd7e6ea5fd3b9ea4e8","epoch":1,"kind":"event",'
    b'"offset":48211,"partition":3,"sequence":4,"source":"/services/inquiry",'
    b'"subject":"7b8217d1e0e218b355ed301a3031f847","time":"2026-11-24T01:20Z","topic":"civic.inquiry.v1",'
    b'"type":"civic.inquiry.accepted.v1","v":1}'
)


def test_an_event_has_these_bytes() -> None:
    log = Batch(7)
    log.add(EVENT, Subject(0, KEY))
    assert log.entries == [GOLDEN_EVENT]


def test_a_reset_has_these_bytes_and_is_read_back() -> None:
    log, reset = Batch(7), Reset("civic.inquiry.v1", 3, taken=48212, offset=0)
    assert log.add_reset(reset, 1_795_483_512_345, 0) == 7
    assert log.entries == [
        b'{"kind":"reset","offset":0,"partition":3,"taken":48212,"time":"2026-11-24T01:20Z",'
        b'"topic":"civic.inquiry.v1","v":1}'
    ]
    assert reset_of(parse_entry(log.entries[0])) == reset


@pytest.mark.parametrize(
    ("timestamp_ms", "bucket"),
    [
        (-1, "1970-01-01T00:00Z"),
        (-(10**18), "1970-01-01T00:00Z"),
        (253_402_300_800_000, "9999-12-31T23:50Z"),
        (2**63 - 1, "9999-12-31T23:50Z"),
    ],
)
def test_a_time_that_no_calendar_holds_is_the_nearest_that_it_does(timestamp_ms: int, bucket: str) -> None:
    assert time_bucket(timestamp_ms) == bucket


def test_an_incident_adds_the_index_of_the_first() -> None:
    log, subject = Batch(7), Subject(0, KEY)
    log.add(EVENT, subject)
    other = PreparedRecord(
        RawRecord("civic.inquiry.v1", 3, 48212, 0, None, b"{}"), commitment(b"{}"), EVENT.attributes
    )
    log.add(other, subject)
    members = parse_entry(log.entries[1])
    assert (members["kind"], members["first"]) == ("incident", 7)


def test_an_entry_of_an_erased_subject_has_no_pseudonym() -> None:
    log = Batch(7)
    log.add(EVENT, Subject(0, None))
    assert "subject" not in parse_entry(log.entries[0])


def test_nothing_that_identifies_stands_in_an_entry() -> None:
    secret = "0190163d-8694-739b-aea5-966c26f8ad91"
    record = RawRecord(
        "civic.inquiry.v1",
        0,
        0,
        1_795_483_512_345,
        secret.encode(),
        b'{"type":"civic.inquiry.noted.v1","id":"%s","source":"/services/inquiry","subject":"%s","sequence":"0000000001",'
        b'"salt":"AAECAwQFBgcICQoLDA0ODw","actor":"clerk-7","correlationid":"%s","data":{"unit":"water"}}'
        % (secret.encode(), secret.encode(), secret.encode()),
    )
    [prepared] = prepare([record])
    assert prepared.fault is None
    log = Batch(0)
    log.add(prepared, Subject(0, KEY))
    for hidden in (secret, secret.replace("-", ""), "clerk-7", "water", "AAECAwQFBgcICQoLDA0ODw"):
        assert hidden.encode() not in log.entries[0]


def test_commitments_differ_by_their_first_byte() -> None:
    assert commitment(b"v") == hashlib.sha256(b"\x02v").hexdigest()
    assert salted_commitment(b"s" * 16, b"v") == hashlib.sha256(b"\x04" + b"s" * 16 + b"v").hexdigest()


def test_a_pseudonym_says_nothing_without_the_key_and_differs_by_source() -> None:
    names = {
        pseudonym(key, source)
        for key in (KEY, bytes(32))
        for source in ("/services/inquiry", "/services/routing")
    }
    assert len(names) == 4
    assert all(len(name) == 32 for name in names)


@pytest.mark.parametrize(
    ("timestamp_ms", "bucket"),
    [
        (0, "1970-01-01T00:00Z"),
        (599_999, "1970-01-01T00:00Z"),
        (600_000, "1970-01-01T00:10Z"),
        (1_795_483_512_345, "2026-11-24T01:20Z"),
    ],
)
def test_times_are_cut_down_to_ten_minutes(timestamp_ms: int, bucket: str) -> None:
    assert time_bucket(timestamp_ms) == bucket


def test_a_reader_accepts_kinds_and_members_that_it_does_not_know() -> None:
    assert parse_entry(b'{"kind":"coverage","to":5,"v":1}') == {"kind": "coverage", "to": 5, "v": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"kind":"event","v":2}',
        b'{"v":1}',
        b'{"v":1,"kind":"event"}',
        b'{"kind":"event", "v":1}',
        b'{"kind":"event","kind":"event","v":1}',
    ],
)
def test_what_is_not_canonical_is_no_entry(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_entry(data)


def test_an_entry_that_fits_no_bundle_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 65535 bytes"):
        encode_entry({"kind": "x" * 65_536})
