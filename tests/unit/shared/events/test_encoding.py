"""Encoding: the bytes that are committed, sent, logged and hashed."""

import base64
import json

import orjson
import pytest

from shared.contracts.base import words_hash
from shared.contracts.inquiry import InquiryWords, NoteWords
from shared.contracts.routing import CaseTriaged
from shared.errors import EventTooLarge
from shared.events.encoding import MAX_BYTES, encode_value, encode_words
from tests.unit.shared.made import CASE, draft

DATA = CaseTriaged(reason="no_rule", attempt=1)


def test_the_type_comes_first_so_that_readers_can_skip_unparsed() -> None:
    assert encode_value(draft(DATA), None).startswith(b'{"specversion":"1.0","type":"civic.case.triaged.v1"')


def test_optional_fields_are_absent_unless_they_are_set() -> None:
    event = orjson.loads(encode_value(draft(DATA), None))
    assert not {"causationid", "actor", "policyversion", "jurisdiction", "wordshash"} & event.keys()
    full = draft(DATA, causation="c", actor="role:clerk", policy="p@1", jurisdiction="p")
    event = orjson.loads(encode_value(full, b"{}"))
    assert (event["causationid"], event["actor"], event["policyversion"]) == ("c", "role:clerk", "p@1")
    assert event["wordshash"] == words_hash(b"{}")


def test_moments_in_utc_end_with_z_and_the_sequence_has_ten_digits() -> None:
    event = orjson.loads(encode_value(draft(DATA, sequence=12), None))
    assert event["time"] == "2026-11-24T08:00:00Z"
    assert event["sequence"] == "0000000012"


def test_the_same_event_has_another_salt_each_time() -> None:
    first, second = (orjson.loads(encode_value(draft(DATA), None)) for _ in range(2))
    assert first.pop("salt") != second.pop("salt")
    assert first == second


def test_words_begin_with_a_salt_and_leave_out_what_is_not_said() -> None:
    content = json.loads(encode_words(InquiryWords(title="路灯", text="不亮")))
    assert list(content) == ["salt", "title", "text"]
    assert encode_words(NoteWords(text="x")) != encode_words(NoteWords(text="x"))


def test_an_event_above_the_limit_is_refused_with_its_size() -> None:
    words = encode_words(NoteWords(text="x"))
    empty = len(encode_value(draft(DATA), words))
    encode_value(draft(DATA), b"x" * (MAX_BYTES - empty))
    with pytest.raises(EventTooLarge, match=rf"civic.case.triaged.v1 of {CASE} has 9\d+ bytes"):
        encode_value(draft(DATA), b"x" * MAX_BYTES)


def test_an_event_has_these_members_and_no_others() -> None:
    full = draft(
        DATA, causation="c", actor="role:clerk", policy="p@1", jurisdiction="p", epoch=3, sequence=12
    )
    event = orjson.loads(encode_value(full, b"{}"))
    salt = event.pop("salt")
    assert len(base64.urlsafe_b64decode(salt + "==")) == 16
    assert event == {
        "specversion": "1.0",
        "type": "civic.case.triaged.v1",
        "id": full.id,
        "source": "/services/routing",
        "subject": CASE,
        "time": "2026-11-24T08:00:00Z",
        "datacontenttype": "application/json",
        "dataschema": CaseTriaged.contract.schema_id,
        "sequence": "0000000012",
        "sequencetype": "Integer",
        "epoch": 3,
        "partitionkey": CASE,
        "correlationid": CASE,
        "effectivetime": "2026-11-24T08:00:00Z",
        "causationid": "c",
        "actor": "role:clerk",
        "policyversion": "p@1",
        "jurisdiction": "p",
        "wordshash": words_hash(b"{}"),
        "data": {"reason": "no_rule", "attempt": 1},
    }
