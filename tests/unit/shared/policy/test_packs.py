"""The shipped packs against the data that they were made from. The data missing is a failure, not a skip."""

import csv
import datetime as dt
from collections import defaultdict
from zoneinfo import ZoneInfo

import chinese_calendar
import holidays
import pytest

from shared.policy.calendar import WorkCalendar
from shared.policy.calendar_table import CalendarTable
from shared.policy.check import check
from shared.policy.deadlines import add_budget
from shared.policy.dispatch import Catalogue, Match, NoMatch
from shared.policy.model import Pack
from shared.policy.tables import DayCount
from tests.paths import REPO, SHARED, needed

DAY = dt.date(2026, 11, 24)
STAMP = "%m/%d/%Y %I:%M:%S %p"


def rows(path: str) -> list[dict[str, str]]:
    with needed(SHARED / "data" / path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def requests() -> list[dict[str, str]]:
    return rows("baltimore311/311_sample.csv")


@pytest.fixture(scope="module")
def categories() -> list[dict[str, str]]:
    return rows("amsterdam-signalen-rules/categories.csv")


@pytest.mark.parametrize("name", ["cn-city", "us-city", "nl-city"])
def test_a_shipped_pack_has_no_problem(name: str) -> None:
    assert check(REPO / "policies" / name).problems == []


@pytest.mark.parametrize("name", ["cn-city", "us-city", "nl-city"])
def test_the_kinds_are_the_five_of_a_12345_hotline(name: str, request: pytest.FixtureRequest) -> None:
    pack: Pack = request.getfixturevalue(name.replace("-", "_"))
    assert [kind.code for kind in pack.kinds] == ["consult", "help", "complaint", "report", "suggestion"]


def test_every_type_of_baltimore_is_a_service_with_its_very_name(
    us_city: Pack, requests: list[dict[str, str]]
) -> None:
    assert len(us_city.services) == 231
    assert {service.name for service in us_city.services} == {row["SRType"] for row in requests}


def test_a_row_of_baltimore_goes_to_the_agency_that_the_file_names_or_to_triage(
    us_city: Pack, requests: list[dict[str, str]]
) -> None:
    agencies: defaultdict[str, set[str]] = defaultdict(set)
    for row in requests:
        agencies[row["SRType"]].add(row["Agency"])
    code_of = {service.name: service.service_code for service in us_city.services}
    catalogue = Catalogue(us_city)
    triage = 0
    for row in requests:
        answer = catalogue.match(code_of[row["SRType"]], None, DAY)
        if len(agencies[row["SRType"]]) > 1:
            assert answer == NoMatch("no_rule")
            triage += 1
        else:
            assert isinstance(answer, Match)
            assert (us_city.department(answer.lead).name, answer.co) == (row["Agency"], ())
    assert triage == 133
    assert len(us_city.catalogue) == 226


def test_the_budgets_of_us_city_give_the_due_date_of_every_row_that_promises_one(
    us_city: Pack, requests: list[dict[str, str]]
) -> None:
    table = us_city.calendar_table.model_dump(mode="json")
    table["years"] = [
        {"year": year, "status": "provisional", "holidays": [], "source": "own: none needed"}
        for year in range(2014, 2020)
    ]
    calendar = WorkCalendar(CalendarTable.model_validate(table), us_city.timezone)
    zone = ZoneInfo(us_city.timezone)
    service_of = {service.name: service for service in us_city.services}
    checked = 0
    for row in requests:
        created = dt.datetime.strptime(row["CreatedDate"], STAMP).replace(tzinfo=zone)
        budget = service_of[row["SRType"]].due
        if not row["DueDate"] or row["DueDate"] == row["CreatedDate"]:
            assert budget is None
            continue
        assert budget is not None
        due = add_budget(calendar, created, budget.amount, budget.day_count).due.astimezone(zone)
        assert due.date() == dt.datetime.strptime(row["DueDate"], STAMP).date()  # noqa: DTZ007 (a local day)
        checked += 1
    assert checked > 9000


def test_every_category_of_amsterdam_is_a_service_with_its_service_level(
    nl_city: Pack, categories: list[dict[str, str]]
) -> None:
    assert len(nl_city.services) == len(categories) == 155
    for row in categories:
        service = nl_city.service(row["sub_slug"])
        assert (service.name, service.group) == (row["sub_name"], row["main_name"])
        assert service.active == (row["is_active"] == "t")
        if row["n_days"]:
            assert service.due is not None
            assert service.due.amount == int(row["n_days"])
            calendar_days = row["use_calendar_days"] == "t"
            assert service.due.day_count is (
                DayCount.CALENDAR_DAYS if calendar_days else DayCount.WORKING_DAYS
            )
        else:
            assert service.due is None


def test_a_category_of_amsterdam_goes_to_all_its_departments_the_first_leading(
    nl_city: Pack, categories: list[dict[str, str]]
) -> None:
    catalogue = Catalogue(nl_city)
    joint = 0
    for row in categories:
        answer = catalogue.match(row["sub_slug"], None, DAY)
        units = tuple(code.lower() for code in row["responsible_departments"].split(";") if code)
        if not units:
            assert answer == NoMatch("no_rule")
            continue
        assert isinstance(answer, Match)
        assert (answer.lead, *answer.co) == units
        joint += len(units) > 1
    assert joint == 43
    listed = {row["code"].lower(): row["name"] for row in rows("amsterdam-signalen-rules/departments.csv")}
    assert {unit.code: unit.name for unit in nl_city.departments} == listed


def test_no_text_of_amsterdam_is_in_the_pack(nl_city: Pack, categories: list[dict[str, str]]) -> None:
    pack = nl_city.to_json().decode()
    sentences = {part.strip() for row in categories for part in row["handling_message"].split("\n")}
    assert not [text for text in sentences if len(text) > 20 and text in pack]


def test_cn_city_has_two_levels_and_places_every_class_in_every_district(cn_city: Pack) -> None:
    assert len(cn_city.services) >= 60
    assert len({service.group for service in cn_city.services}) >= 12
    assert len(cn_city.areas) == 6
    catalogue = Catalogue(cn_city)
    for service in cn_city.services:
        for area in (None, *cn_city.areas_by_code):
            assert isinstance(catalogue.match(service.service_code, area, DAY), Match)


def test_a_district_of_cn_city_leads_what_lies_in_it(cn_city: Pack) -> None:
    catalogue = Catalogue(cn_city)
    in_district = catalogue.match("municipal-manhole", "yunxi", DAY)
    assert in_district == Match("yunxi-urban", ("water",), "cn-municipal-manhole.yunxi")
    somewhere = catalogue.match("municipal-manhole", None, DAY)
    assert somewhere == Match("urban-management", ("water",), "cn-municipal-manhole")


def test_petitions_without_a_category_go_to_the_hotline_centre(cn_city: Pack) -> None:
    assert Catalogue(cn_city).match("12345-center", None, DAY) == Match("hotline-center", (), "cn-center")


def test_the_chinese_calendar_agrees_with_the_yearly_notices(cn_city: Pack) -> None:
    for day in days_of(2024, 2026):
        assert cn_city.calendar.is_working(day.toordinal()) == chinese_calendar.is_workday(day), day


def test_the_american_calendar_agrees_with_the_federal_holidays(us_city: Pack) -> None:
    off = holidays.country_holidays("US", years=range(2024, 2029))
    for day in days_of(2024, 2028):
        assert us_city.calendar.is_working(day.toordinal()) == (day.weekday() < 5 and day not in off), day


def test_the_dutch_calendar_agrees_with_the_act_on_time_limits(nl_city: Pack) -> None:
    off = holidays.country_holidays("NL", years=range(2024, 2029), categories=("public", "optional"))
    for day in days_of(2024, 2028):
        assert nl_city.calendar.is_working(day.toordinal()) == (day.weekday() < 5 and day not in off), day


def days_of(first: int, last: int) -> list[dt.date]:
    start = dt.date(first, 1, 1)
    return [start + dt.timedelta(n) for n in range((dt.date(last, 12, 31) - start).days + 1)]
