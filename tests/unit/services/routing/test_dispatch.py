"""Dispatch by a pack that ships: the row of the local day, the sign clock, and who loses the case."""

import datetime as dt
from dataclasses import replace

import pytest

from services.routing.domain.case_file import Assignment, CaseFile
from services.routing.domain.dispatch import dispatch, place, triage
from services.routing.domain.facts import received
from shared.contracts.inquiry import Deadline, InquiryReceived, InquiryWords
from shared.contracts.routing import CaseDispatched, CaseOffered, CaseTriaged, CaseWithdrawn
from shared.policy.dispatch import Catalogue, Match
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.settings import REPOSITORY

AT = dt.datetime(2026, 11, 24, 2, tzinfo=dt.UTC)
WORDS = InquiryWords(title="井盖松动", text="车一过就响。")


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(REPOSITORY / "policies" / "cn-city")


def ready(service_code: str, *, area: str | None = None, urgent: bool = False) -> CaseFile:
    return CaseFile(
        "019ab0e5-0000-7000-8000-000000000001",
        "accepted",
        number="20261124-7K3M9Q2XWB-F",
        kind="help",
        service_code=service_code,
        area=area,
        visibility="public",
        urgent=urgent,
        hint="water",
        reply_due=AT + dt.timedelta(days=5),
    )


def test_the_row_of_the_very_area_goes_before_the_one_for_anywhere(pack: Pack) -> None:
    catalogue = Catalogue(pack)
    near = place(ready("municipal-manhole", area="yunxi"), WORDS, pack, catalogue, AT).file
    far = place(ready("municipal-manhole"), WORDS, pack, catalogue, AT).file
    assert (near.lead, near.rule) == ("yunxi-urban", "cn-municipal-manhole.yunxi")
    assert (far.lead, far.rule) == ("urban-management", "cn-municipal-manhole")


def test_what_is_said_is_the_dispatch_and_then_an_offer_for_each_unit(pack: Pack) -> None:
    outcome = place(ready("municipal-manhole", area="yunxi"), WORDS, pack, Catalogue(pack), AT)
    dispatched, *offers = outcome.said
    assert isinstance(dispatched.facts, CaseDispatched)
    assert [(offer.unit, type(offer.facts)) for offer in offers] == [
        ("yunxi-urban", CaseOffered),
        ("water", CaseOffered),
    ]
    assert offers[0].facts.model_dump()["words"] == WORDS.model_dump()


def test_an_urgent_case_is_signed_sooner(pack: Pack) -> None:
    catalogue = Catalogue(pack)
    ordinary = place(ready("municipal-manhole"), WORDS, pack, catalogue, AT).file.sign_due
    urgent = place(ready("municipal-manhole", urgent=True), WORDS, pack, catalogue, AT).file.sign_due
    assert urgent == AT + dt.timedelta(minutes=30)
    assert ordinary == dt.datetime(2026, 11, 25, 9, 30, tzinfo=dt.UTC)


def test_no_match_goes_to_triage_with_the_hint_and_no_holder(pack: Pack) -> None:
    outcome = place(ready("no-such-service"), WORDS, pack, Catalogue(pack), AT)
    (said,) = outcome.said
    assert said.facts == CaseTriaged(reason="unknown_service", hint="water", attempt=0)
    assert (outcome.file.state, outcome.file.assignments) == ("triage", ())


def test_a_placement_takes_the_case_from_those_who_still_hold_it_and_offers_it_anew(pack: Pack) -> None:
    returned = Assignment("yunxi-urban", "lead", "returned", 1, AT)
    keeps = Assignment("water", "co", "signed", 1, AT, AT)
    loses = Assignment("power", "co", "signed", 1, AT, AT)
    held = replace(ready("municipal-manhole"), attempt=1, assignments=(returned, keeps, loses))
    before = triage(held, "returned", AT).file
    match = Match("qingshi-urban", ("water",), "dispatcher")
    outcome = dispatch(before, WORDS, pack, match, AT, by="dispatcher")
    withdrawn = [said.unit for said in outcome.said if isinstance(said.facts, CaseWithdrawn)]
    offered = [said.unit for said in outcome.said if isinstance(said.facts, CaseOffered)]
    assert (withdrawn, offered) == (["power"], ["qingshi-urban", "water"])
    states = {one.unit: (one.state, one.attempt) for one in outcome.file.assignments}
    assert states == {
        "yunxi-urban": ("returned", 1),
        "power": ("released", 1),
        "qingshi-urban": ("offered", 2),
        "water": ("offered", 2),
    }


@pytest.mark.parametrize(
    ("has_contact", "wanted", "notify"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_dispatch_repeats_whether_anybody_is_to_be_told(
    pack: Pack, has_contact: bool, wanted: bool, notify: bool
) -> None:
    told = InquiryReceived(
        number="20261124-7K3M9Q2XWB-F",
        kind="help",
        service_code="municipal-manhole",
        channel="web",
        secret_hash="0" * 64,
        deadline=Deadline(due=AT, day_zero=AT, amount=5, day_count="working_days"),
        has_contact=has_contact,
        notify=wanted,
    )
    file = received(CaseFile("case"), told, AT, pack.version, pack.jurisdiction)
    dispatched, *_ = place(file, WORDS, pack, Catalogue(pack), AT).said
    assert isinstance(dispatched.facts, CaseDispatched)
    assert dispatched.facts.notify is notify
