"""Deadlines for any start and budget: they agree with a naive count, and their explanations with both."""

import datetime as dt
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import chinese_calendar
from hypothesis import given
from hypothesis import strategies as st

from shared.policy.calendar import WorkCalendar
from shared.policy.deadlines import Deadline, add_budget, add_months, at_percent
from shared.policy.explain import ExplanationStep, explain
from shared.policy.loader import load_pack
from shared.policy.tables import DayCount
from tests.paths import REPO

PACKS = ("cn-city", "us-city", "nl-city")

# The first example of a pack loads it, and the machine may be busy: time is no property here.

starts = st.datetimes(dt.datetime(2024, 1, 1, 12), dt.datetime(2026, 9, 1)).map(  # noqa: DTZ001 (made aware)
    lambda moment: moment.replace(tzinfo=dt.UTC)
)
amounts = st.integers(1, 40)
packs = st.sampled_from(PACKS)
day_counts = st.sampled_from(list(DayCount))


@cache
def calendar_of(pack: str) -> WorkCalendar:
    return load_pack(REPO / "policies" / pack).calendar


@given(packs, starts, starts, amounts, day_counts)
def test_a_later_start_is_never_due_earlier(
    pack: str, one: dt.datetime, other: dt.datetime, amount: int, day_count: DayCount
) -> None:
    calendar = calendar_of(pack)
    earlier, later = (add_budget(calendar, start, amount, day_count) for start in sorted((one, other)))
    assert earlier.due <= later.due


@given(packs, starts, amounts, day_counts)
def test_a_larger_budget_is_never_due_earlier(
    pack: str, start: dt.datetime, amount: int, day_count: DayCount
) -> None:
    calendar = calendar_of(pack)
    smaller, larger = (add_budget(calendar, start, amount + more, day_count) for more in (0, 1))
    assert start < smaller.due <= larger.due
    if day_count is not DayCount.CALENDAR_ROLL:  # there two last days may roll to the same day
        assert smaller.due < larger.due


@given(packs, starts, amounts)
def test_working_days_end_with_duty_on_a_working_day(pack: str, start: dt.datetime, amount: int) -> None:
    calendar = calendar_of(pack)
    due = add_budget(calendar, start, amount, DayCount.WORKING_DAYS).due.astimezone(calendar.tz)
    assert calendar.is_working(due.toordinal())
    assert calendar.spans(due.toordinal())[-1][1] == due.hour * 60 + due.minute


@given(starts, amounts)
def test_chinese_working_days_agree_with_a_naive_count(start: dt.datetime, amount: int) -> None:
    calendar = calendar_of("cn-city")
    local = start.astimezone(calendar.tz)
    day = local.date()
    if not chinese_calendar.is_workday(day) or local.time() >= dt.time(17, 30):
        day = next_workday(day)
    for _ in range(amount):
        day = next_workday(day)
    due = dt.datetime.combine(day, dt.time(17, 30), calendar.tz)
    assert add_budget(calendar, start, amount, DayCount.WORKING_DAYS).due == due


def next_workday(day: dt.date) -> dt.date:
    day += dt.timedelta(days=1)
    while not chinese_calendar.is_workday(day):
        day += dt.timedelta(days=1)
    return day


@given(packs, starts, st.integers(1, 600))
def test_duty_hours_agree_with_a_naive_count_of_minutes(pack: str, start: dt.datetime, minutes: int) -> None:
    calendar = calendar_of(pack)
    start = start.replace(second=0, microsecond=0)
    due = add_budget(calendar, start, minutes / 60, DayCount.HOURS_DUTY).due
    assert count_duty_minutes(calendar, start, due) == minutes
    last = due.astimezone(calendar.tz) - dt.timedelta(minutes=1)
    assert on_duty(calendar, last)  # it ends with the last minute of duty, not before the next one


def on_duty(calendar: WorkCalendar, local: dt.datetime) -> bool:
    minute = local.hour * 60 + local.minute
    return any(opens <= minute < closes for opens, closes in calendar.spans(local.toordinal()))


def count_duty_minutes(calendar: WorkCalendar, start: dt.datetime, due: dt.datetime) -> int:
    minutes = (due - start) // dt.timedelta(minutes=1)
    return sum(
        on_duty(calendar, (start + dt.timedelta(minutes=n)).astimezone(calendar.tz)) for n in range(minutes)
    )


@given(packs, starts, amounts, day_counts)
def test_the_mark_of_a_larger_share_is_never_earlier(
    pack: str, start: dt.datetime, amount: int, day_count: DayCount
) -> None:
    calendar = calendar_of(pack)
    deadline = add_budget(calendar, start, amount, day_count)
    found = [at_percent(calendar, deadline, percent) for percent in range(1, 101)]
    assert all(one <= other for one, other in pairwise(found))
    assert start <= found[0]
    assert found[-1] == deadline.due


@given(packs, starts, st.integers(1, 20), st.integers(1, 4))
def test_a_quarter_of_four_times_a_budget_is_that_budget(
    pack: str, start: dt.datetime, amount: int, quarters: int
) -> None:
    calendar = calendar_of(pack)
    for day_count in set(DayCount) - {DayCount.MONTHS, DayCount.CALENDAR_ROLL}:
        whole = add_budget(calendar, start, 4 * amount, day_count)
        part = add_budget(calendar, start, quarters * amount, day_count)
        assert at_percent(calendar, whole, 25 * quarters) == part.due


@given(packs, starts, st.integers(1, 30), st.integers(1, 99))
def test_a_mark_of_working_time_falls_into_working_time(
    pack: str, start: dt.datetime, amount: int, percent: int
) -> None:
    calendar = calendar_of(pack)
    for day_count in (DayCount.WORKING_DAYS, DayCount.HOURS_DUTY):
        deadline = add_budget(calendar, start, amount, day_count)
        # A mark may be the very end of a span, so the microsecond before it must be on duty.
        mark = at_percent(calendar, deadline, percent) - dt.timedelta(microseconds=1)
        assert on_duty(calendar, mark.astimezone(calendar.tz))


@given(packs, starts, amounts, day_counts)
def test_an_explanation_replays_to_the_same_due_moment(
    pack: str, start: dt.datetime, amount: int, day_count: DayCount
) -> None:
    calendar = calendar_of(pack)
    deadline = add_budget(calendar, start, amount, day_count)
    assert replay(explain(calendar, deadline), deadline) == deadline.due


def replay(steps: list[ExplanationStep], deadline: Deadline) -> dt.datetime:
    """Follow the steps with nothing but their facts, checking that no day is missing or counted twice."""
    zone = ZoneInfo(str(steps[0].facts["zone"]))
    moment = dt.datetime.fromisoformat(str(steps[0].facts["at"]))
    assert moment == deadline.start
    day, days, minutes = moment.date(), 0, 0.0
    end = dt.time(23, 59, 59)
    for step in steps[1:-1]:
        facts = step.facts
        match step.code:
            case "day_zero":
                day = dt.date.fromisoformat(str(facts["day"]))
                assert day == deadline.day_zero
            case "counted" | "skipped":
                first, last = (dt.date.fromisoformat(str(facts[key])) for key in ("first", "last"))
                assert (last - first).days + 1 == facts["days"]
                if deadline.day_count is not DayCount.HOURS_DUTY:
                    assert first == day + dt.timedelta(days=1)
                day = last
                days += int(facts["days"]) if step.code == "counted" else 0
            case "duty":
                minutes += float(facts["minutes"])
                day = dt.date.fromisoformat(str(facts["day"]))
            case "elapsed":
                return moment + dt.timedelta(hours=float(facts["hours"]))
            case "months":
                day = add_months(day, int(facts["count"]))
                assert day.isoformat() == facts["last"]
            case "rolled":
                assert facts["last"] == day.isoformat()
                day = dt.date.fromisoformat(str(facts["to"]))
    due = dt.datetime.fromisoformat(str(steps[-1].facts["at"]))
    assert due.date() == day
    if deadline.day_count is DayCount.HOURS_DUTY:
        assert abs(minutes - deadline.amount * 60) < 1e-6
        return due
    if deadline.day_count is DayCount.WORKING_DAYS:
        assert days == deadline.amount
        end = due.time()
    return dt.datetime.combine(day, end, zone)
