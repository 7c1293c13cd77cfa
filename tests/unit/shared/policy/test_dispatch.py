import datetime as dt
from typing import Any

import pytest

from shared.policy.dispatch import Catalogue, Match, NoMatch
from shared.policy.errors import PolicyError
from shared.policy.model import Pack

DAY = dt.date(2026, 11, 24)


def pack_with(base: Pack, *rules: dict[str, Any]) -> Pack:
    """`base` with another catalogue; a rule is for `garbage` unless it says otherwise."""
    service = base.service("cityscape-garbage").service_code
    catalogue = [
        {"rule_id": f"r{n}", "service_code": service, "source": "own: test", **rule}
        for n, rule in enumerate(rules, 1)
    ]
    return Pack.of(base.model_dump(mode="json") | {"catalogue": catalogue})


def ask(pack: Pack, area: str | None = "yunxi", on: dt.date = DAY) -> Match | NoMatch:
    return Catalogue(pack).match("cityscape-garbage", area, on)


def test_a_rule_for_the_very_area_goes_before_one_for_anywhere(cn_city: Pack) -> None:
    pack = pack_with(cn_city, {"lead": "urban-management"}, {"area": "yunxi", "lead": "yunxi-urban"})
    assert ask(pack) == Match("yunxi-urban", (), "r2")
    assert ask(pack, "qingshi") == ask(pack, None) == Match("urban-management", (), "r1")


def test_a_rule_answers_from_its_first_to_its_last_day(cn_city: Pack) -> None:
    pack = pack_with(
        cn_city,
        {"lead": "urban-management", "valid_to": "2026-11-23"},
        {"lead": "hotline-center", "valid_from": "2026-11-24", "valid_to": "2026-11-30"},
    )
    assert ask(pack, on=dt.date(2026, 11, 23)) == Match("urban-management", (), "r1")
    assert ask(pack, on=dt.date(2026, 11, 24)) == Match("hotline-center", (), "r2")
    assert ask(pack, on=dt.date(2026, 11, 30)) == Match("hotline-center", (), "r2")
    assert ask(pack, on=dt.date(2026, 12, 1)) == NoMatch("no_rule_in_force")


def test_an_expired_rule_for_the_area_leaves_it_to_the_one_for_anywhere(cn_city: Pack) -> None:
    pack = pack_with(
        cn_city,
        {"lead": "urban-management"},
        {"area": "yunxi", "lead": "yunxi-urban", "valid_to": "2026-01-01"},
    )
    assert ask(pack) == Match("urban-management", (), "r1")


def test_what_cannot_be_placed_says_why(cn_city: Pack) -> None:
    elsewhere = pack_with(cn_city, {"area": "qingshi", "lead": "qingshi-urban"})
    assert ask(elsewhere) == ask(elsewhere, None) == NoMatch("no_rule_for_area")
    assert ask(pack_with(cn_city)) == NoMatch("no_rule")
    assert Catalogue(cn_city).match("unicorns", None, DAY) == NoMatch("unknown_service")


def test_two_rules_for_the_same_day_are_refused(cn_city: Pack) -> None:
    pack = pack_with(
        cn_city,
        {"lead": "urban-management", "valid_to": "2026-11-24"},
        {"lead": "hotline-center", "valid_from": "2026-11-24"},
    )
    with pytest.raises(PolicyError, match=r"rules r1 and r2 both answer .* on 2026-11-24"):
        Catalogue(pack)


def test_a_rule_that_overlaps_an_earlier_one_past_its_neighbour_is_refused(cn_city: Pack) -> None:
    pack = pack_with(
        cn_city,
        {"lead": "urban-management", "valid_from": "2026-01-01", "valid_to": "2026-12-31"},
        {"lead": "hotline-center", "valid_from": "2026-02-01", "valid_to": "2026-02-02"},
        {"lead": "water", "valid_from": "2026-05-01"},
    )
    with pytest.raises(PolicyError) as caught:
        Catalogue(pack)
    assert len(caught.value.faults) == 2
