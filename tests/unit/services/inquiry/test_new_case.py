"""How a case begins: accepted by rule with a running clock, or waiting for a clerk."""

from dataclasses import replace

from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.new_case import NewCase, begin
from services.inquiry.domain.states import Stage
from shared.contracts.inquiry import InquiryWords
from shared.policy.model import Pack
from tests.unit.services.inquiry.conftest import NOW

CONCERN = Concern(InquiryWords(title="t", text="x"), "help", "municipal-street-light", "api", "yunxi")


def test_a_case_that_is_accepted_by_rule_begins_with_its_clock_and_first_mark(pack: Pack) -> None:
    beginning = begin(pack, CONCERN, NOW)
    assert (beginning.stage, beginning.policy_version) == (Stage.ACCEPTED, pack.version)
    assert beginning.clock is not None and beginning.timer is not None and beginning.deadline is not None
    assert beginning.deadline.due == beginning.clock.due
    assert beginning.timer.kind == "reply_mark"
    assert NOW < beginning.timer.due < beginning.clock.due


def test_a_case_for_a_clerk_begins_without_clock_and_without_version(pack: Pack) -> None:
    beginning = begin(pack, replace(CONCERN, kind="report"), NOW)
    assert beginning.stage is Stage.RECEIVED
    assert (beginning.policy_version, beginning.clock, beginning.timer) == (None, None, None)


def test_the_event_of_the_intake_has_no_contact_and_says_whether_there_is_one(pack: Pack) -> None:
    for contact in (None, Contact("王芳", email="wang@example.cn")):
        case = NewCase("id", "number", "0" * 64, replace(CONCERN, contact=contact), begin(pack, CONCERN, NOW))
        received = case.received()
        assert received.has_contact is (contact is not None)
        assert received.deadline == case.beginning.deadline
        assert "wang" not in received.model_dump_json()


def test_an_external_key_needs_source_and_id() -> None:
    assert CONCERN.external_key is None
    assert replace(CONCERN, external_source="old").external_key is None
    assert replace(CONCERN, external_source="old", external_id="7").external_key == ("old", "7")
