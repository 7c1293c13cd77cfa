"""The flaws that a pack finds in a concern, and deadlines as events give them."""

import datetime as dt
from dataclasses import replace

import pytest

from services.inquiry.domain.clock import ReplyClock, first_clock
from services.inquiry.domain.concern import Concern, Flaw, flaws_of
from shared.contracts.inquiry import InquiryWords
from shared.policy.model import Pack
from tests.unit.services.inquiry.conftest import NOW

GOOD = Concern(InquiryWords(title="t", text="x"), "help", "municipal-street-light", "api", "yunxi")


@pytest.mark.parametrize(
    ("concern", "codes"),
    [
        (GOOD, []),
        (replace(GOOD, area=None), []),
        (replace(GOOD, service_code="nothing"), ["unknown_service"]),
        (replace(GOOD, area="atlantis"), ["unknown_area"]),
        (replace(GOOD, area="atlantis", service_code="nothing"), ["unknown_service", "unknown_area"]),
    ],
)
def test_all_flaws_are_named_at_once(pack: Pack, concern: Concern, codes: list[str]) -> None:
    assert [flaw.code for flaw in flaws_of(concern, pack)] == codes


def test_a_service_that_is_no_longer_offered_is_refused_to_citizens_and_taken_from_archives(
    pack: Pack,
) -> None:
    services = tuple(
        service.model_copy(update={"active": service.service_code != GOOD.service_code})
        for service in pack.services
    )
    closed = Pack.of(
        pack.model_dump(mode="json") | {"services": [service.model_dump(mode="json") for service in services]}
    )
    assert [flaw.code for flaw in flaws_of(GOOD, closed)] == ["not_offered"]
    assert flaws_of(GOOD, closed, offered_only=False) == []


def test_day_zero_is_given_as_its_local_midnight(pack: Pack) -> None:
    clock = first_clock(pack, "help", "municipal-street-light", False, NOW)
    stated = clock.stated(pack)
    assert stated.day_zero == dt.datetime(2026, 11, 23, 16, 0, tzinfo=dt.UTC)
    assert (stated.amount, stated.day_count) == (3, "working_days")


def test_a_clock_from_the_table_explains_itself_as_when_it_was_set(pack: Pack) -> None:
    clock = first_clock(pack, "help", "municipal-street-light", False, NOW)
    stored = ReplyClock(clock.start, clock.due, clock.day_zero, clock.amount, clock.day_count)
    assert stored.explained(pack) == clock.explained(pack)
    assert stored.explained(pack)[-1].facts["utc"] == clock.due.isoformat()


def test_urgency_brings_the_deadline_nearer(pack: Pack) -> None:
    ordinary = first_clock(pack, "help", "municipal-street-light", False, NOW)
    urgent = first_clock(pack, "help", "municipal-street-light", True, NOW)
    assert urgent.due < ordinary.due


def test_each_flaw_names_the_member_and_says_what_to_do(pack: Pack) -> None:
    contents = pack.model_dump(mode="json")
    contents["kinds"] = [kind for kind in contents["kinds"] if kind["code"] != "help"]
    contents["areas"] = contents["areas"][:2]
    for service in contents["services"]:
        service["active"] = False
    closed = Pack.of(contents)
    first, second = sorted(area["code"] for area in contents["areas"])
    assert flaws_of(replace(GOOD, area="atlantis"), closed) == [
        Flaw("service_code", "not_offered", "this service is no longer offered: choose another one"),
        Flaw("kind", "unknown_kind", "this place knows the kinds complaint, consult, report, suggestion"),
        Flaw("area", "unknown_area", f"this place knows the areas {first}, {second}"),
    ]
    nowhere = Pack.of(contents | {"areas": [], "catalogue": []})
    assert flaws_of(replace(GOOD, service_code="nothing"), nowhere) == [
        Flaw(
            "service_code",
            "unknown_service",
            "no such service: GET /api/inquiry/v1/services lists the codes",
        ),
        Flaw("kind", "unknown_kind", "this place knows the kinds complaint, consult, report, suggestion"),
        Flaw("area", "unknown_area", "this place has no areas: leave it out"),
    ]
