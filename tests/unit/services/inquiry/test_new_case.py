"""How a case begins: accepted by rule with a running clock, or waiting for a clerk."""

import datetime as dt
from dataclasses import replace

from services.inquiry.domain.clock import first_clock
from services.inquiry.domain.concern import Concern, Contact
from services.inquiry.domain.new_case import NewCase, begin
from services.inquiry.domain.states import Stage
from services.inquiry.domain.timeline import TimelineEntry, timeline
from shared.contracts.inquiry import InquiryReceived, InquiryWords
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


def test_the_event_of_the_intake_repeats_the_whole_concern(pack: Pack) -> None:
    concern = replace(
        CONCERN,
        kind="complaint",
        visibility="withheld",
        urgent=True,
        contact=Contact(email="wang@example.cn"),
        external_source="old",
        external_id="7",
        original_time=NOW - dt.timedelta(days=400),
        hint="water",
        notify=False,
    )
    beginning = begin(pack, concern, NOW)
    assert NewCase("id", "20261124-7K3M9Q2XWB-F", "0" * 64, concern, beginning).received() == InquiryReceived(
        number="20261124-7K3M9Q2XWB-F",
        kind="complaint",
        service_code="municipal-street-light",
        area="yunxi",
        visibility="withheld",
        channel="api",
        urgent=True,
        secret_hash="0" * 64,
        has_contact=True,
        deadline=beginning.deadline,
        external_source="old",
        external_id="7",
        original_time=NOW - dt.timedelta(days=400),
        hint="water",
        notify=False,
    )


def test_an_urgent_concern_has_its_own_clock_from_the_intake_on(pack: Pack) -> None:
    urgent = begin(pack, replace(CONCERN, urgent=True), NOW)
    assert urgent.clock == first_clock(pack, "help", "municipal-street-light", True, NOW)
    assert urgent.clock != begin(pack, CONCERN, NOW).clock


def test_a_mark_at_the_first_percent_counts_from_the_intake_on(pack: Pack) -> None:
    contents = pack.model_dump(mode="json")
    for kind in contents["kinds"]:
        kind["warn"]["percents"] = [1, 50]
    timer = begin(Pack.of(contents), CONCERN, NOW).timer
    assert timer is not None
    assert timer.data == {"cycle": 1, "percent": 1}


def test_the_timeline_begins_with_the_intake() -> None:
    step = TimelineEntry("signed", NOW, {"unit": "water"}, "text")
    assert timeline(NOW, None, [step]) == [TimelineEntry("received", NOW, {}), step]
    due = NOW + dt.timedelta(days=5)
    assert timeline(NOW, due, [step]) == [
        TimelineEntry("received_accepted", NOW, {"due": due.isoformat()}),
        step,
    ]
