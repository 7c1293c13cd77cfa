import copy
import hashlib
import json
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from shared.policy.errors import CalendarRange, PolicyError, UnknownCode
from shared.policy.model import Pack


def test_a_pack_comes_back_from_json_exactly(cn_city: Pack, us_city: Pack, nl_city: Pack) -> None:
    for pack in (cn_city, us_city, nl_city):
        again = Pack.from_json(pack.to_json())
        assert again == pack
        assert again.to_json() == pack.to_json()


def test_a_version_names_the_contents(cn_city: Pack) -> None:
    name, digits = cn_city.version.split("@")
    assert name == "cn-city"
    assert len(digits) == 12
    changed = cn_city.model_dump(mode="json")
    changed["services"][0]["name"] += "。"
    assert Pack.of(changed).version != cn_city.version
    assert Pack.of(cn_city.model_dump(mode="json")).version == cn_city.version


def test_a_code_that_a_pack_lacks_is_named_with_its_table_and_the_version(nl_city: Pack) -> None:
    with pytest.raises(UnknownCode) as caught:
        nl_city.service("unicorns")
    error = caught.value
    assert (error.what, error.code, error.version) == ("service", "unicorns", nl_city.version)
    assert str(error) == f"{nl_city.version}: there is no service 'unicorns' in this version of the pack"


def test_a_moment_beyond_the_calendar_says_what_to_add() -> None:
    error = CalendarRange("2031-01-01", "2024-01-01", "2026-12-31")
    assert error.moment == "2031-01-01"
    said = "2031-01-01 is outside 2024-01-01..2026-12-31: add its year under `years`"
    assert str(error) == f"calendar.yaml: {said}"


def test_a_stored_pack_that_was_changed_is_refused(cn_city: Pack) -> None:
    stored = json.loads(cn_city.to_json())
    stored["kinds"][0]["reply"]["amount"] = 30
    with pytest.raises(PolicyError, match="not those that the version names"):
        Pack.from_json(json.dumps(stored))


def by_a_later_release(pack: Pack) -> dict[str, Any]:
    """The stored pack of a release that has more members, on every floor."""
    stored = json.loads(pack.to_json())
    del stored["version"]
    stored |= {"holidays_of_units": [{"unit": "water"}], "reviewed": True}
    stored["kinds"][0]["reply"]["paused_by"] = ["supplement"]
    stored["kinds"].append(stored["kinds"][0] | {"code": "petition"})
    stored["clocks"].append(stored["clocks"][0] | {"code": "appeal"})
    stored["limits"]["returns_per_day"] = 2.50
    stored["calendar_table"]["duty"]["night"] = ["22:00-24:00"]
    stored["services"][0]["icon"] = "灯"
    canonical = json.dumps(stored, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return stored | {"version": f"{pack.name}@{hashlib.sha256(canonical).hexdigest()[:12]}"}


def test_a_pack_of_a_later_release_is_read_and_keeps_what_is_unknown_here(cn_city: Pack) -> None:
    stored = by_a_later_release(cn_city)
    pack = Pack.from_json(json.dumps(stored))
    assert pack.version == stored["version"] != cn_city.version
    assert json.loads(pack.to_json()) == stored
    assert (pack.services, pack.kinds, pack.clocks) == (cn_city.services, cn_city.kinds, cn_city.clocks)
    for again in (Pack.from_json(pack.to_json()), pickle.loads(pickle.dumps(pack)), copy.copy(pack)):  # noqa: S301
        assert again == pack
        assert again.to_json() == pack.to_json()


def test_an_unknown_member_is_part_of_what_the_version_names(cn_city: Pack) -> None:
    stored = by_a_later_release(cn_city)
    stored["services"][0]["icon"] = "水"
    with pytest.raises(PolicyError, match="not those that the version names"):
        Pack.from_json(json.dumps(stored))


def test_an_author_may_not_write_a_member_that_is_unknown_here(cn_city: Pack) -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Pack.of(by_a_later_release(cn_city))


@pytest.mark.parametrize("table", ["kinds", "clocks"])
def test_an_author_may_not_write_a_row_of_a_code_that_is_unknown_here(cn_city: Pack, table: str) -> None:
    contents = cn_city.model_dump(mode="json")
    contents[table].append(contents[table][0] | {"code": "later"})
    with pytest.raises(ValidationError, match="literal_error"):
        Pack.of(contents)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\x00", '{"name": "x"}'])
def test_what_is_no_pack_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="stored pack"):
        Pack.from_json(text)


def test_a_pack_can_be_pickled_and_copied_and_then_computes_the_same(cn_city: Pack) -> None:
    assert cn_city.calendar.working  # compiled before, and not carried along
    for again in (pickle.loads(pickle.dumps(cn_city)), copy.copy(cn_city)):  # noqa: S301 (our own bytes)
        assert again == cn_city
        assert again.calendar.working == cn_city.calendar.working
    assert len(pickle.dumps(cn_city)) < 2 * len(cn_city.to_json())


def test_a_pack_cannot_be_changed(cn_city: Pack) -> None:
    with pytest.raises(ValidationError):
        cn_city.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        cn_city.services[0].name = "other"  # type: ignore[misc]


def test_codes_lead_to_rows(cn_city: Pack) -> None:
    assert cn_city.service("12345-center").kind == "help"
    assert cn_city.department("hotline-center").name == "12345 热线服务中心"
    assert cn_city.kind("complaint").title.zh == "投诉"
    assert cn_city.area("yunxi").name == "云溪区"
    assert cn_city.clock("sign").normal.amount == 1


def test_default_values_are_neither_stored_nor_named(nl_city: Pack) -> None:
    # A member that a later release adds with a default leaves the names of all stored versions as they are.
    stored = json.loads(nl_city.to_json())
    assert "areas" not in stored
    assert all("keywords" not in service or service["keywords"] for service in stored["services"])
    assert b":null" not in nl_city.to_json()
    named = {name: value for name, value in stored.items() if name != "version"}
    text = json.dumps(named, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert nl_city.version == f"nl-city@{hashlib.sha256(text).hexdigest()[:12]}"


def test_a_stored_table_that_is_no_list_is_refused(cn_city: Pack) -> None:
    stored = json.loads(cn_city.to_json()) | {"clocks": 5}
    with pytest.raises(PolicyError, match="stored pack"):
        Pack.from_json(json.dumps(stored))


def test_a_unit_has_its_name_in_each_language_and_else_its_code(cn_city: Pack) -> None:
    unit = cn_city.department("hotline-center")
    assert cn_city.unit_name("hotline-center", "zh") == unit.name
    assert cn_city.unit_name("hotline-center", "en") == (unit.name_en or unit.name)
    assert cn_city.unit_name("gone", "en") == "gone"
