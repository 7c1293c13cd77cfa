"""The time that remains until something is due, in the time by which its clock runs."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from shared.policy.model import Pack
from shared.policy.remaining import Remaining, time_remaining
from tests.unit.shared.policy.calendars import calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


def hours(found: Remaining) -> float:
    return found.length / dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("now", "due", "left"),
    [
        ("2026-11-24 10:00", "2026-11-24 17:30", 6),  # over the midday break
        ("2026-11-24 12:30", "2026-11-24 17:30", 4),  # in it
        ("2026-11-27 16:30", "2026-11-30 17:30", 8),  # over a weekend: Friday to Monday
        ("2026-11-28 11:00", "2026-11-30 17:30", 7),  # on the Saturday
        ("2026-09-30 16:30", "2026-10-08 17:30", 8),  # over National Day
        ("2026-09-19 10:00", "2026-09-21 17:30", 14),  # Sunday the 20th is a make-up working day (调休)
        ("2026-11-24 17:30", "2026-11-24 17:30", 0),
    ],
)
def test_working_time_is_counted_by_duty_hours(cn_city: Pack, now: str, due: str, left: float) -> None:
    found = time_remaining(cn_city.calendar, "working_days", at(due), at(now))
    assert (hours(found), found.day, found.working, found.late) == (left, dt.timedelta(hours=7), True, False)


@pytest.mark.parametrize(
    ("due", "now", "passed"),
    [
        ("2026-11-27 17:30", "2026-11-28 11:00", 0),  # due on Friday: no duty time since, on Saturday
        ("2026-11-27 17:30", "2026-12-01 17:30", 14),
        ("2026-09-30 17:30", "2026-10-08 10:00", 1),
    ],
)
def test_what_is_late_is_late_by_working_time_too(cn_city: Pack, due: str, now: str, passed: float) -> None:
    found = time_remaining(cn_city.calendar, "hours_duty", at(due), at(now))
    assert (hours(found), found.working, found.late) == (passed, True, True)


@pytest.mark.parametrize("day_count", ["hours_24x7", "calendar_days", "calendar_roll", "months", None])
def test_a_clock_that_never_rests_is_shown_in_calendar_time(cn_city: Pack, day_count: str | None) -> None:
    found = time_remaining(cn_city.calendar, day_count, at("2026-11-30 17:30"), at("2026-11-27 17:30"))
    assert found == Remaining(dt.timedelta(days=3), dt.timedelta(days=1), working=False, late=False)


def test_beyond_the_calendar_and_without_one_calendar_time_counts() -> None:
    now, due = dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
    assert not time_remaining(calendar(), "working_days", due, now).working
    assert not time_remaining(None, "working_days", due, now).working


def test_a_day_is_the_longest_of_the_week() -> None:
    short_friday = {day: ["09:00-17:00"] for day in ("mon", "tue", "wed", "thu")} | {"fri": ["09:00-12:00"]}
    assert calendar(duty=short_friday).ordinary_day == dt.timedelta(hours=8)
