"""What is left of a record's value once its words are erased."""

import orjson
import pytest

from shared.contracts.inquiry import ContactStated, InquiryWords
from shared.contracts.routing import CaseOffered, CaseTriaged
from shared.unit_of_work.erasure import GONE, bytes_to_keep, without_words
from tests.unit.shared.made import CASE, record

ACTIONS = "civic.department.water.actions.v1"
OFFER = CaseOffered(
    number="1",
    role="lead",
    lead="water",
    kind="help",
    service_code="x",
    visibility="public",
    attempt=1,
    words=InquiryWords(title="secret title", text="secret text"),
)


def reply(**data: object) -> bytes:
    event = {
        "specversion": "1.0",
        "id": "a-1",
        "source": "/unit",
        "type": "civic.action.reply.v1",
        "subject": CASE,
        "time": "2026-11-24T08:00:00Z",
        "note": "secret",
        "data": {"outcome": "solved", "text": "secret", "extra": "secret", **data},
    }
    return orjson.dumps(event)


def test_on_a_services_own_topic_the_value_has_no_words_and_is_kept() -> None:
    value = record(CaseTriaged(reason="no_rule", attempt=1)).value
    assert without_words("civic.routing.v1", value) is value
    assert without_words("civic.routing.v1", None) is None


def test_a_record_for_a_unit_keeps_everything_but_its_words() -> None:
    made = record(OFFER, topic="civic.department.water.v1")
    before, after = (
        orjson.loads(made.value or b""),
        orjson.loads(without_words(made.topic, made.value) or b""),
    )
    assert before["data"].pop("words")
    assert after == before


def test_a_contact_point_keeps_neither_name_nor_addresses() -> None:
    stated = ContactStated(
        name="Resident One", email="resident@example.org", phone="1", number="7", inquiry=CASE
    )
    kept = orjson.loads(without_words("civic.contact.v1", record(stated).value) or b"")["data"]
    assert kept == {"language": "zh", "number": "7", "inquiry": CASE}


def test_of_an_action_only_what_the_contract_knows_is_kept_and_a_required_text_is_replaced() -> None:
    kept = without_words(ACTIONS, reply()) or b""
    assert b"secret" not in kept
    assert orjson.loads(kept)["data"] == {"outcome": "solved", "text": GONE}


@pytest.mark.parametrize(
    "value",
    [b"secret", b"[]", b'{"type":"civic.action.praise.v1","data":{}}', b'{"type":"civic.action.reply.v1"}'],
)
def test_bytes_whose_words_cannot_be_located_are_not_kept(value: bytes) -> None:
    assert without_words(ACTIONS, value) is None


def test_nothing_is_kept_of_a_dead_letter_without_a_key() -> None:
    value = record(CaseTriaged(reason="no_rule", attempt=1)).value
    assert bytes_to_keep("civic.routing.v1", value, None) is None
    assert bytes_to_keep("civic.routing.v1", value, CASE) is value
