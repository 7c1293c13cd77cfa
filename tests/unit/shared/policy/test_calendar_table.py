"""Duty hours, holidays and years of calendar.yaml that cannot be meant are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.policy.calendar_table import Duty, Holiday, Year, clock_face
from shared.policy.model import Pack
from tests.unit.shared.policy.calendars import calendar

SOURCE = "own: test"


def test_a_year_left_out_between_two_is_refused() -> None:
    with pytest.raises(ValidationError, match="in order, without a gap"):
        calendar(years=(2024, 2026))


def test_a_week_without_duty_is_refused() -> None:
    with pytest.raises(ValidationError, match="no weekday has duty hours"):
        calendar(duty={"extra": ["09:00-12:00"]})


def test_extra_working_days_need_hours(cn_city: Pack) -> None:
    contents = cn_city.model_dump(mode="json")
    del contents["calendar_table"]["duty"]["extra"]
    with pytest.raises(ValidationError, match=r"add duty\.extra"):
        Pack.of(contents)


def test_spans_are_minutes_after_midnight_and_are_written_as_clock_times() -> None:
    duty = Duty.model_validate({"mon": ["08:30-12:00", "13:00-24:00"], "source": SOURCE})
    assert duty.week[0] == ((510, 720), (780, 1440))
    assert duty.model_dump(mode="json")["mon"] == ["08:30-12:00", "13:00-24:00"]
    assert clock_face(485) == "08:05"


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ("8-18", "is not a span"),
        ("18:00-08:00", "does not run forward"),
        ("08:00-24:01", "does not run forward"),
        ("08:60-09:00", "does not run forward"),
    ],
)
def test_a_span_that_is_malformed_or_leaves_its_day_is_refused(span: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Duty.model_validate({"mon": [span], "source": SOURCE})


def test_spans_that_overlap_are_refused_and_spans_that_touch_are_not() -> None:
    Duty.model_validate({"mon": ["08:00-12:00", "12:00-13:00"], "source": SOURCE})
    with pytest.raises(ValidationError, match="overlap or are out of order"):
        Duty.model_validate({"mon": ["08:00-12:00", "11:59-13:00"], "source": SOURCE})


def test_a_holiday_lasts_through_its_last_day() -> None:
    holiday = {"name": "国庆节", "name_en": "National Day", "first": "2026-10-01"}
    assert [str(day) for day in Holiday.model_validate(holiday).days] == ["2026-10-01"]
    three = Holiday.model_validate({**holiday, "last": "2026-10-03"})
    assert [str(day) for day in three.days] == ["2026-10-01", "2026-10-02", "2026-10-03"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"extra_working_days": ["2025-12-31"]}, "2025-12-31 is listed under 2026"),
        ({"extra_working_days": ["2026-01-01"]}, "2026-01-01 occurs twice"),
        ({"holidays": [{"name": "x", "name_en": "x", "first": "2026-02-02", "last": "2026-02-01"}]}, "ends"),
    ],
)
def test_a_year_with_a_misplaced_day_is_refused(contents: dict[str, Any], message: str) -> None:
    year: dict[str, Any] = {
        "year": 2026,
        "status": "declared",
        "holidays": [{"name": "元旦", "name_en": "New Year", "first": "2026-01-01"}],
        "source": SOURCE,
    }
    Year.model_validate(year)
    with pytest.raises(ValidationError, match=message):
        Year.model_validate(year | contents)
