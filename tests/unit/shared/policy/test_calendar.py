import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from shared.policy.calendar import DayNote
from shared.policy.errors import CalendarRange
from shared.policy.model import Pack
from tests.unit.shared.policy.calendars import calendar


def test_a_day_says_why_it_counts_or_not(cn_city: Pack) -> None:
    notes = {
        day: cn_city.calendar.note(dt.date.fromisoformat(day).toordinal())
        for day in ("2026-10-01", "2026-10-09", "2026-10-10", "2026-10-11")
    }
    assert notes == {
        "2026-10-01": DayNote("holiday", "国庆节", "National Day"),
        "2026-10-09": DayNote("working"),
        "2026-10-10": DayNote("extra"),
        "2026-10-11": DayNote("weekend"),
    }


def test_a_year_is_declared_provisional_or_undeclared(cn_city: Pack) -> None:
    assert [cn_city.calendar.status(year) for year in (2026, 2027, 2028)] == [
        "declared",
        "provisional",
        "undeclared",
    ]


def test_the_calendar_reaches_ten_years_past_its_last_one_and_no_further() -> None:
    reach = calendar(years=(2024,))
    assert reach.is_working(dt.date(2034, 12, 29).toordinal())
    assert not reach.is_working(dt.date(2034, 12, 31).toordinal())
    for day in (dt.date(2023, 12, 31), dt.date(2035, 1, 1)):
        with pytest.raises(CalendarRange, match=str(day)):
            reach.is_working(day.toordinal())


def test_duty_until_midnight_ends_with_the_last_second_of_the_day() -> None:
    night = calendar(duty={"mon": ["20:00-24:00"]})
    assert night.closes[0].astimezone(ZoneInfo("Europe/London")).isoformat() == "2024-01-01T23:59:59+00:00"
