"""Dispatch by a pack that ships: the row of the local day, the sign clock, and who loses the case."""

import datetime as dt
from dataclasses import replace

import pytest

from services.routing.domain.case_file import Assignment, CaseFile
from services.routing.domain.dispatch import dispatch_by_catalogue, dispatch_by_hand, triage
from services.routing.domain.facts import received
from shared.contracts.inquiry import Deadline, InquiryReceived, InquiryWords
from shared.contracts.routing import CaseDispatched, CaseOffered, CaseTriaged, CaseWithdrawn
from shared.decision import Decision, Refusal
from shared.policy.dispatch import Catalogue
from shared.policy.loader import load_pack
from shared.policy.model import Pack
from shared.policy.tables import CatalogueRow
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


def test_the_row_of_the_very_area_takes_precedence_over_the_one_for_anywhere(pack: Pack) -> None:
    catalogue = Catalogue(pack)
    near = dispatch_by_catalogue(ready("municipal-manhole", area="yunxi"), WORDS, pack, catalogue, AT).state
    far = dispatch_by_catalogue(ready("municipal-manhole"), WORDS, pack, catalogue, AT).state
    assert (near.lead, near.rule) == ("yunxi-urban", "cn-municipal-manhole.yunxi")
    assert (far.lead, far.rule) == ("urban-management", "cn-municipal-manhole")


def handed_over(pack: Pack, service_code: str, on: dt.date) -> Catalogue:
    """The catalogue in which the service goes from water to power on a day."""
    rows = {
        "water": {"rule_id": "until", "lead": "water", "valid_to": on - dt.timedelta(days=1)},
        "power": {"rule_id": "since", "lead": "power", "valid_from": on},
    }
    catalogue = [
        CatalogueRow(service_code=service_code, area="*", source="own: test", **row) for row in rows.values()
    ]
    return Catalogue(pack.model_copy(update={"catalogue": tuple(catalogue)}))


@pytest.mark.parametrize(
    ("at", "lead"),
    [
        ("2026-11-23T15:59:59+00:00", "water"),  # 23:59:59 in Shanghai
        ("2026-11-23T16:00:00+00:00", "power"),  # midnight there, and still yesterday in UTC
        ("2026-11-23T23:59:59+00:00", "power"),
    ],
)
def test_the_row_of_the_local_day_counts_from_local_midnight(pack: Pack, at: str, lead: str) -> None:
    catalogue = handed_over(pack, "municipal-manhole", dt.date(2026, 11, 24))
    file, moment = ready("municipal-manhole"), dt.datetime.fromisoformat(at)
    assert dispatch_by_catalogue(file, WORDS, pack, catalogue, moment).state.lead == lead


def test_a_dispatch_emits_its_event_and_then_an_offer_for_each_unit(pack: Pack) -> None:
    decision = dispatch_by_catalogue(
        ready("municipal-manhole", area="yunxi"), WORDS, pack, Catalogue(pack), AT
    )
    dispatched, *offers = decision.events
    assert isinstance(dispatched.data, CaseDispatched)
    assert [(offer.unit, type(offer.data)) for offer in offers] == [
        ("yunxi-urban", CaseOffered),
        ("water", CaseOffered),
    ]
    assert offers[0].data.model_dump()["words"] == WORDS.model_dump()


def test_an_offer_says_all_that_the_unit_needs(pack: Pack) -> None:
    file = ready("municipal-manhole", area="yunxi", urgent=True)
    decision = dispatch_by_catalogue(file, WORDS, pack, Catalogue(pack), AT)
    dispatched, *offers = decision.events
    signs = AT + dt.timedelta(minutes=30)
    assert dispatched.data == CaseDispatched(
        lead="yunxi-urban",
        co=("water",),
        rule="cn-municipal-manhole.yunxi",
        attempt=1,
        sign_due=signs,
        by="rule",
        notify=file.notify,
    )
    assert [offer.data for offer in offers] == [
        CaseOffered(
            number="20261124-7K3M9Q2XWB-F",
            role=role,
            lead="yunxi-urban",
            co=("water",),
            kind="help",
            service_code="municipal-manhole",
            area="yunxi",
            visibility="public",
            urgent=True,
            reply_due=AT + dt.timedelta(days=5),
            sign_due=signs,
            attempt=1,
            words=WORDS,
        )
        for role in ("lead", "co")
    ]


def test_a_dispatcher_takes_the_case_out_of_the_queue(pack: Pack) -> None:
    queued = triage(replace(ready("municipal-manhole"), attempt=1), "no_rule", AT).state
    assert (queued.triage_reason, queued.triaged_at, queued.lead, queued.sign_due) == (
        "no_rule",
        AT,
        None,
        None,
    )
    decision = dispatch_by_hand(queued, WORDS, pack, AT, lead="water", co=())
    assert isinstance(decision, Decision)
    after = decision.state
    assert (after.triage_reason, after.triaged_at, after.reply_refused) == (None, None, None)
    assert (after.lead, after.rule, after.attempt) == ("water", "dispatcher", 2)
    assert after.assignments == (Assignment("water", "lead", "offered", 2, AT),)
    dispatched = decision.events[0].data
    assert isinstance(dispatched, CaseDispatched)
    assert (dispatched.by, dispatched.rule) == ("dispatcher", "dispatcher")


def test_an_urgent_case_is_signed_sooner(pack: Pack) -> None:
    catalogue = Catalogue(pack)
    ordinary = dispatch_by_catalogue(ready("municipal-manhole"), WORDS, pack, catalogue, AT).state.sign_due
    urgent = dispatch_by_catalogue(
        ready("municipal-manhole", urgent=True), WORDS, pack, catalogue, AT
    ).state.sign_due
    assert urgent == AT + dt.timedelta(minutes=30)
    assert ordinary == dt.datetime(2026, 11, 25, 9, 30, tzinfo=dt.UTC)


def test_no_match_goes_to_triage_with_the_hint_and_no_holder(pack: Pack) -> None:
    decision = dispatch_by_catalogue(ready("no-such-service"), WORDS, pack, Catalogue(pack), AT)
    (event,) = decision.events
    assert event.data == CaseTriaged(reason="unknown_service", hint="water", attempt=0)
    assert (decision.state.state, decision.state.assignments) == ("triage", ())


def test_a_second_dispatch_withdraws_the_case_from_other_holders_and_offers_it_again(pack: Pack) -> None:
    returned = Assignment("yunxi-urban", "lead", "returned", 1, AT)
    keeps = Assignment("water", "co", "signed", 1, AT, AT)
    loses = Assignment("power", "co", "signed", 1, AT, AT)
    held = replace(ready("municipal-manhole"), attempt=1, assignments=(returned, keeps, loses))
    before = triage(held, "returned", AT).state
    decision = dispatch_by_hand(before, WORDS, pack, AT, lead="qingshi-urban", co=("water",))
    assert isinstance(decision, Decision)
    withdrawn = [event.unit for event in decision.events if isinstance(event.data, CaseWithdrawn)]
    offered = [event.unit for event in decision.events if isinstance(event.data, CaseOffered)]
    assert (withdrawn, offered) == (["power"], ["qingshi-urban", "water"])
    records = [event.data for event in decision.events if isinstance(event.data, CaseWithdrawn)]
    assert records == [CaseWithdrawn(number="20261124-7K3M9Q2XWB-F", reason="redispatched")]
    states = {one.unit: (one.state, one.attempt) for one in decision.state.assignments}
    assert states == {
        "yunxi-urban": ("returned", 1),
        "power": ("released", 1),
        "qingshi-urban": ("offered", 2),
        "water": ("offered", 2),
    }


def test_a_dispatcher_dispatches_only_what_is_in_triage(pack: Pack) -> None:
    offered = dispatch_by_catalogue(ready("municipal-manhole"), WORDS, pack, Catalogue(pack), AT).state
    decided = dispatch_by_hand(offered, WORDS, pack, AT, lead="water", co=())
    assert decided == Refusal("offered", "not_in_triage")


@pytest.mark.parametrize(
    ("has_contact", "wanted", "notify"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_a_dispatch_repeats_whether_the_citizen_is_to_be_notified(
    pack: Pack, has_contact: bool, wanted: bool, notify: bool
) -> None:
    data = InquiryReceived(
        number="20261124-7K3M9Q2XWB-F",
        kind="help",
        service_code="municipal-manhole",
        channel="web",
        secret_hash="0" * 64,
        deadline=Deadline(due=AT, day_zero=AT, amount=5, day_count="working_days"),
        has_contact=has_contact,
        notify=wanted,
    )
    file = received(CaseFile("case"), data, AT, pack.version, pack.jurisdiction).state
    dispatched, *_ = dispatch_by_catalogue(file, WORDS, pack, Catalogue(pack), AT).events
    assert isinstance(dispatched.data, CaseDispatched)
    assert dispatched.data.notify is notify
