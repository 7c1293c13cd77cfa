import datetime as dt
import json
from zoneinfo import ZoneInfo

from shared.policy.deadlines import add_budget
from shared.policy.explain import explain
from shared.policy.model import Pack
from shared.policy.tables import DayCount
from tests.unit.shared.policy.calendars import calendar

SHANGHAI = ZoneInfo("Asia/Shanghai")
EVENING = dt.datetime(2026, 9, 24, 20, tzinfo=SHANGHAI)  # a Thursday before the Mid-autumn Festival


def test_a_deadline_in_working_days_is_explained_day_by_day(cn_city: Pack) -> None:
    deadline = add_budget(cn_city.calendar, EVENING, 6, DayCount.WORKING_DAYS)
    steps = explain(cn_city.calendar, deadline)
    assert [step.en for step in steps] == [
        "Received at 2026-09-24 20:00 (Asia/Shanghai)",
        "2026-09-28 is the starting day and is not counted (received after office hours)",
        "2026-09-29 to 2026-09-30: 2 counted (working days)",
        "2026-10-01 to 2026-10-07: not counted (National Day)",
        "2026-10-08 to 2026-10-09: 2 counted (working days)",
        "2026-10-10: 1 counted (make-up working days)",
        "2026-10-11: not counted (weekend)",
        "2026-10-12: 1 counted (working days)",
        "Due at 2026-10-12 17:30",
    ]
    assert [step.text("zh") for step in steps] == [
        "收到时间 2026-09-24 20:00（Asia/Shanghai）",
        "2026-09-28 为起算日，不计入（收到时已过办公时间）",
        "2026-09-29 至 2026-09-30 计 2 天（工作日）",
        "2026-10-01 至 2026-10-07 不计（国庆节）",
        "2026-10-08 至 2026-10-09 计 2 天（工作日）",
        "2026-10-10 计 1 天（调休上班日）",
        "2026-10-11 不计（周末）",
        "2026-10-12 计 1 天（工作日）",
        "截止时间 2026-10-12 17:30",
    ]
    assert steps[0].facts["at"] == "2026-09-24T20:00:00+08:00"
    assert steps[-1].facts["at"] == "2026-10-12T17:30:00+08:00"


def test_duty_hours_are_explained_by_the_minutes_of_each_day(cn_city: Pack) -> None:
    start = dt.datetime(2026, 9, 24, 16, tzinfo=SHANGHAI)
    steps = explain(cn_city.calendar, add_budget(cn_city.calendar, start, 4, DayCount.HOURS_DUTY))
    assert [step.facts for step in steps if step.code == "duty"] == [
        {"day": "2026-09-24", "minutes": 90.0},
        {"day": "2026-09-28", "minutes": 150.0},
    ]
    assert [step.facts["name"] for step in steps if step.code == "skipped"] == ["中秋节"]


def test_a_roll_says_from_which_day_and_why(cn_city: Pack) -> None:
    steps = explain(cn_city.calendar, add_budget(cn_city.calendar, EVENING, 2, DayCount.CALENDAR_ROLL))
    assert [step.en for step in steps if step.code == "rolled"] == [
        "2026-09-26 is not a working day (Mid-autumn Festival), moved to 2026-09-27",
        "2026-09-27 is not a working day (Mid-autumn Festival), moved to 2026-09-28",
    ]


def test_a_deadline_in_a_year_without_a_notice_says_that_it_may_move(cn_city: Pack) -> None:
    for year, status, words in (
        (2027, "provisional", "notice is not published"),
        (2028, "undeclared", "not in"),
    ):
        start = EVENING.replace(year=year)
        for day_count in (DayCount.WORKING_DAYS, DayCount.HOURS_DUTY, DayCount.CALENDAR_ROLL):
            due = explain(cn_city.calendar, add_budget(cn_city.calendar, start, 3, day_count))[-1]
            assert due.facts["calendar"] == status
            assert words in due.en
        plain = explain(cn_city.calendar, add_budget(cn_city.calendar, start, 3, DayCount.HOURS_24X7))[-1]
        assert "calendar" not in plain.facts


def test_the_facts_are_json_and_the_texts_have_no_gap(cn_city: Pack) -> None:
    for day_count in DayCount:
        for step in explain(cn_city.calendar, add_budget(cn_city.calendar, EVENING, 3, day_count)):
            assert json.loads(json.dumps(step.facts)) == step.facts
            assert "{" not in step.zh + step.en
            assert "()" not in step.en
            assert "（）" not in step.zh


def test_a_holiday_beside_a_weekend_is_kept_apart_from_it() -> None:
    monday_off = calendar(off=[dt.date(2024, 6, 10)])
    friday = dt.datetime(2024, 6, 7, 10, tzinfo=ZoneInfo("Europe/London"))
    steps = explain(monday_off, add_budget(monday_off, friday, 1, DayCount.WORKING_DAYS))
    assert [step.facts["reason"] for step in steps if step.code == "skipped"] == ["weekend", "holiday"]
