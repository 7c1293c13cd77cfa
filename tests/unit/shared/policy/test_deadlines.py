"""Deadlines against rules of law that somebody else wrote and against days counted by hand."""

import datetime as dt
from zoneinfo import ZoneInfo

import holidays
import pytest

from shared.policy.deadlines import (
    Deadline,
    add_budget,
    at_percent,
    clock_deadline,
    deadline_for,
    rework_deadline,
)
from shared.policy.errors import CalendarRange, UnknownCode
from shared.policy.model import Pack
from shared.policy.tables import DayCount, Kind
from tests.unit.shared.policy.calendars import calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
LONDON = ZoneInfo("Europe/London")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NEW_YORK = ZoneInfo("America/New_York")


def local(deadline: Deadline, zone: ZoneInfo) -> str:
    return deadline.due.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def uk(*regions: str) -> set[dt.date]:
    return {
        day
        for region in regions
        for day in holidays.country_holidays("GB", subdiv=region, years=(2024, 2025))
    }


def test_uk_foi_counts_the_first_working_day_after_receipt_as_day_one() -> None:
    england = calendar(off=uk("ENG"))
    monday = dt.datetime(2024, 12, 2, 10, tzinfo=LONDON)
    assert local(add_budget(england, monday, 20, DayCount.WORKING_DAYS), LONDON) == "2025-01-02 17:00:00"


def test_uk_foi_received_on_a_day_off_has_the_next_working_day_as_day_one() -> None:
    england = calendar(off=uk("ENG"))
    saturday = dt.datetime(2024, 6, 1, 10, tzinfo=LONDON)
    deadline = add_budget(england, saturday, 1, DayCount.WORKING_DAYS)
    assert deadline.day_zero == dt.date(2024, 6, 1)
    assert local(deadline, LONDON) == "2024-06-03 17:00:00"


def test_uk_foi_skips_a_bank_holiday_of_any_part_of_the_union() -> None:
    union = calendar(off=uk("ENG", "SCT", "NIR", "WLS"))
    monday = dt.datetime(2024, 12, 2, 10, tzinfo=LONDON)
    assert local(add_budget(union, monday, 20, DayCount.WORKING_DAYS), LONDON) == "2025-01-03 17:00:00"


def test_australian_foi_rolls_a_last_day_on_a_weekend_forward() -> None:
    zone = ZoneInfo("Australia/Sydney")
    sydney = calendar("Australia/Sydney")
    received = dt.datetime(2024, 5, 2, 15, tzinfo=zone)  # the 30th day, 1 June, is a Saturday
    assert local(add_budget(sydney, received, 30, DayCount.CALENDAR_ROLL), zone) == "2024-06-03 23:59:59"
    assert local(add_budget(sydney, received, 30, DayCount.CALENDAR_DAYS), zone) == "2024-06-01 23:59:59"


def test_a_roll_leaves_a_last_day_that_is_a_working_day_where_it_is() -> None:
    zone = ZoneInfo("Australia/Sydney")
    received = dt.datetime(2024, 5, 1, 15, tzinfo=zone)  # the 30th day, 31 May, is a Friday
    deadline = add_budget(calendar("Australia/Sydney"), received, 30, DayCount.CALENDAR_ROLL)
    assert local(deadline, zone) == "2024-05-31 23:59:59"


@pytest.mark.parametrize(
    ("received", "months", "due"),
    [
        (dt.date(2025, 1, 31), 1, "2025-02-28"),
        (dt.date(2024, 1, 31), 1, "2024-02-29"),
        (dt.date(2024, 3, 15), 1, "2024-04-15"),
        (dt.date(2024, 11, 30), 3, "2025-02-28"),
    ],
)
def test_a_month_ends_on_the_same_day_or_on_the_last_one(received: dt.date, months: int, due: str) -> None:
    start = dt.datetime.combine(received, dt.time(10), LONDON)
    assert local(add_budget(calendar(), start, months, DayCount.MONTHS), LONDON) == f"{due} 23:59:59"


def test_a_make_up_working_day_counts_and_a_holiday_does_not(cn_city: Pack) -> None:
    # Received Tue 29 Sep 2026; 30 Sep is day 1, 1-7 Oct is National Day, 8 and 9 are days 2 and 3, the
    # Saturday 10 is worked as day 4, Monday 12 is day 5.
    start = dt.datetime(2026, 9, 29, 10, tzinfo=SHANGHAI)
    assert local(add_budget(cn_city.calendar, start, 4, DayCount.WORKING_DAYS), SHANGHAI) == (
        "2026-10-10 17:30:00"
    )
    assert local(add_budget(cn_city.calendar, start, 5, DayCount.WORKING_DAYS), SHANGHAI) == (
        "2026-10-12 17:30:00"
    )


@pytest.mark.parametrize(
    ("received", "day_zero"),
    [
        ("2026-11-20 08:00", "2026-11-20"),  # Friday before opening: still today
        ("2026-11-20 12:30", "2026-11-20"),  # at lunch
        ("2026-11-20 17:29", "2026-11-20"),
        ("2026-11-20 17:30", "2026-11-23"),  # at closing time: the next working moment is on Monday
        ("2026-11-21 10:00", "2026-11-23"),
    ],
)
def test_what_comes_after_hours_counts_as_received_at_the_next_working_moment(
    cn_city: Pack, received: str, day_zero: str
) -> None:
    start = dt.datetime.fromisoformat(received).replace(tzinfo=SHANGHAI)
    deadline = add_budget(cn_city.calendar, start, 1, DayCount.WORKING_DAYS)
    assert deadline.day_zero.isoformat() == day_zero


@pytest.mark.parametrize(
    ("received", "day_zero"),
    [
        ("2024-06-07 08:00", "2024-06-07"),  # Friday before opening
        ("2024-06-07 12:30", "2024-06-07"),
        ("2024-06-07 16:59", "2024-06-07"),  # a minute of duty is left today
        ("2024-06-07 17:00", "2024-06-10"),
        ("2024-06-08 10:00", "2024-06-10"),
    ],
)
def test_duty_hours_begin_on_the_day_on_which_duty_time_next_runs(received: str, day_zero: str) -> None:
    start = dt.datetime.fromisoformat(received).replace(tzinfo=LONDON)
    for hours in (1, 8):
        deadline = add_budget(calendar(), start, hours, DayCount.HOURS_DUTY)
        assert deadline.day_zero.isoformat() == day_zero


def test_duty_hours_run_only_while_somebody_is_on_duty() -> None:
    friday = dt.datetime(2024, 6, 7, 16, tzinfo=LONDON)
    deadline = add_budget(calendar(), friday, 4, DayCount.HOURS_DUTY)
    assert local(deadline, LONDON) == "2024-06-10 12:00:00"  # an hour on Friday, three on Monday morning
    night = add_budget(calendar(), friday + dt.timedelta(hours=5), 0.5, DayCount.HOURS_DUTY)
    assert (night.day_zero, local(night, LONDON)) == (dt.date(2024, 6, 10), "2024-06-10 09:30:00")


def test_hours_run_through_a_change_of_the_clocks_as_hours() -> None:
    before = dt.datetime(2024, 3, 9, 12, tzinfo=NEW_YORK)  # clocks go forward in the night
    deadline = add_budget(calendar("America/New_York"), before, 24, DayCount.HOURS_24X7)
    assert local(deadline, NEW_YORK) == "2024-03-10 13:00:00"


def test_duty_around_the_clock_has_an_hour_less_when_the_clocks_go_forward() -> None:
    always = calendar("America/New_York", duty={d: ["00:00-24:00"] for d in DAYS})
    before = dt.datetime(2024, 3, 9, 12, tzinfo=NEW_YORK)
    assert local(add_budget(always, before, 24, DayCount.HOURS_DUTY), NEW_YORK) == "2024-03-10 13:00:00"
    assert local(add_budget(always, before, 1, DayCount.WORKING_DAYS), NEW_YORK) == "2024-03-10 23:59:59"


def test_a_day_ends_with_the_local_day_on_both_sides_of_a_change_of_the_clocks() -> None:
    before = dt.datetime(2024, 11, 2, 12, tzinfo=NEW_YORK)
    one, two = (
        add_budget(calendar("America/New_York"), before, n, DayCount.CALENDAR_DAYS).due for n in (1, 2)
    )
    assert one == dt.datetime(2024, 11, 4, 4, 59, 59, tzinfo=dt.UTC)  # 3 November has 25 hours
    assert two - one == dt.timedelta(days=1)


def test_the_moment_and_not_its_zone_decides() -> None:
    moment = dt.datetime(2024, 6, 3, 23, 30, tzinfo=dt.UTC)
    for day_count in DayCount:
        first = add_budget(calendar(), moment, 3, day_count)
        second = add_budget(calendar(), moment.astimezone(SHANGHAI), 3, day_count)
        assert first == second
        assert second.start.tzinfo is second.due.tzinfo is dt.UTC


def test_marks_of_working_days_fall_inside_duty_hours(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    deadline = add_budget(cn_city.calendar, start, 5, DayCount.WORKING_DAYS)
    found = {percent: at_percent(cn_city.calendar, deadline, percent) for percent in (50, 80, 100)}
    assert {percent: str(at.astimezone(SHANGHAI))[:16] for percent, at in found.items()} == {
        50: "2026-11-26 14:00",  # half of the seven duty hours of day 3
        80: "2026-11-27 17:30",  # the end of day 4
        100: "2026-11-30 17:30",
    }


def test_a_mark_at_the_end_of_a_day_with_duty_until_midnight_is_still_on_that_day() -> None:
    always = calendar(duty={day: ["00:00-24:00"] for day in DAYS})
    start = dt.datetime(2024, 6, 3, 10, tzinfo=LONDON)
    one, two = (add_budget(always, start, n, DayCount.WORKING_DAYS) for n in (1, 2))
    assert at_percent(always, two, 50) == one.due


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_share_of_a_budget_is_1_to_100_percent(percent: int) -> None:
    start = dt.datetime(2024, 6, 3, 10, tzinfo=LONDON)
    deadline = add_budget(calendar(), start, 5, DayCount.WORKING_DAYS)
    with pytest.raises(ValueError, match="give 1 to 100"):
        at_percent(calendar(), deadline, percent)


def test_a_naive_moment_is_refused() -> None:
    for day_count in DayCount:
        with pytest.raises(ValueError, match="no time zone"):
            add_budget(calendar(), dt.datetime(2024, 6, 3, 10), 1, day_count)  # noqa: DTZ001 (the fault)


@pytest.mark.parametrize(("amount", "day_count"), [(0, "hours_24x7"), (-1, "months"), (1.5, "working_days")])
def test_a_budget_below_zero_or_with_part_of_a_day_is_refused(amount: float, day_count: str) -> None:
    start = dt.datetime(2024, 6, 3, 10, tzinfo=LONDON)
    with pytest.raises(ValueError, match=day_count):
        add_budget(calendar(), start, amount, DayCount(day_count))


@pytest.mark.parametrize("day_count", sorted(set(DayCount) - {DayCount.HOURS_24X7}))
def test_a_moment_beyond_the_calendar_is_refused(day_count: DayCount) -> None:
    with pytest.raises(CalendarRange, match="outside 2024-01-01"):
        add_budget(calendar(), dt.datetime(2023, 12, 31, 12, tzinfo=LONDON), 1, day_count)
    late = dt.datetime(2035, 12, 30, 12, tzinfo=LONDON)
    with pytest.raises(CalendarRange, match="add its year"):
        add_budget(calendar(), late, 1000, day_count)


def test_a_service_with_its_own_budget_overrides_its_kind(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    usual = deadline_for(cn_city, "help", "municipal-road-damage", False, start)
    assert local(usual, SHANGHAI) == "2026-11-26 17:30:00"  # 3 working days (fsou)
    water = deadline_for(cn_city, "help", "utilities-water-supply", False, start)
    assert water.due - start == dt.timedelta(hours=24)  # (fudao)


def test_urgency_brings_a_deadline_nearer_and_never_further(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    assert deadline_for(cn_city, "help", "municipal-road-damage", True, start).due - start == dt.timedelta(1)
    leak = deadline_for(cn_city, "help", "utilities-gas-leak", True, start)
    assert leak.due - start == dt.timedelta(hours=2)


def test_a_rework_gets_half_of_the_first_budget_rounded_up(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    assert rework_deadline(cn_city, "help", "municipal-road-damage", False, start).amount == 2
    assert rework_deadline(cn_city, "complaint", "market-consumer-dispute", False, start).amount == 7


def test_a_rework_gets_a_working_day_at_least_but_never_more_than_the_case_had_at_first(
    cn_city: Pack, nl_city: Pack
) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    day = rework_deadline(nl_city, "help", "asbest-accu", True, start)
    assert (day.amount, day.day_count) == (1, DayCount.WORKING_DAYS)
    leak = rework_deadline(cn_city, "help", "utilities-gas-leak", False, start)
    assert leak.due - start == dt.timedelta(hours=2)
    water = rework_deadline(cn_city, "help", "utilities-water-supply", False, start)
    assert water.due - start == dt.timedelta(hours=24)
    without = Pack.of(cn_city.model_dump() | {"kinds": [_without_minimum(kind) for kind in cn_city.kinds]})
    assert rework_deadline(without, "help", "utilities-gas-leak", False, start).amount == 1


def _without_minimum(kind: Kind) -> Kind:
    return kind.model_copy(update={"rework": kind.rework.model_copy(update={"minimum": None})})


@pytest.mark.parametrize(
    "service", ["market-consumer-dispute", "municipal-road-damage", "utilities-gas-leak"]
)
@pytest.mark.parametrize("urgent", [True, False])
def test_a_rework_is_never_due_later_than_the_case_would_be_at_first(
    cn_city: Pack, service: str, urgent: bool
) -> None:
    """An urgent complaint has 24 hours; not solved, it does not suddenly have seven working days."""
    for hours in range(0, 24 * 7, 5):
        start = dt.datetime(2026, 11, 23, tzinfo=SHANGHAI) + dt.timedelta(hours=hours)
        first = deadline_for(cn_city, "complaint", service, urgent, start)
        assert rework_deadline(cn_city, "complaint", service, urgent, start).due <= first.due


def test_an_urgent_case_is_signed_in_half_an_hour_and_another_in_a_working_day(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    assert clock_deadline(cn_city, "sign", True, start).due - start == dt.timedelta(minutes=30)
    assert local(clock_deadline(cn_city, "sign", False, start), SHANGHAI) == "2026-11-24 17:30:00"
    # A clock without an urgent budget has the same one for all.
    assert clock_deadline(cn_city, "decide", True, start) == clock_deadline(cn_city, "decide", False, start)


def test_an_unknown_code_is_named(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 10, tzinfo=SHANGHAI)
    with pytest.raises(UnknownCode, match="no kind 'rant'"):
        deadline_for(cn_city, "rant", "12345-center", False, start)
    with pytest.raises(UnknownCode, match="no service 'unicorns'"):
        deadline_for(cn_city, "help", "unicorns", False, start)
    with pytest.raises(UnknownCode, match="no clock 'snooze'"):
        clock_deadline(cn_city, "snooze", False, start)
