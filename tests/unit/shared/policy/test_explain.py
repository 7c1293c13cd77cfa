import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest

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


def sentences(pack: Pack, start: dt.datetime, amount: int, day_count: DayCount) -> list[tuple[str, str]]:
    steps = explain(pack.calendar, add_budget(pack.calendar, start, amount, day_count))
    return [(step.zh, step.en) for step in steps]


@pytest.mark.parametrize(
    ("start", "amount", "day_count", "expected"),
    [
        (
            EVENING,
            3,
            DayCount.CALENDAR_DAYS,
            [
                (
                    "2026-09-24 为起算日，不计入（收到当日）",
                    "2026-09-24 is the starting day and is not counted (the day of receipt)",
                ),
                (
                    "2026-09-25 至 2026-09-27 计 3 天（自然日）",
                    "2026-09-25 to 2026-09-27: 3 counted (calendar days)",
                ),
                ("截止时间 2026-09-27 23:59", "Due at 2026-09-27 23:59"),
            ],
        ),
        (
            EVENING,
            1,
            DayCount.CALENDAR_ROLL,
            [
                (
                    "2026-09-24 为起算日，不计入（收到当日）",
                    "2026-09-24 is the starting day and is not counted (the day of receipt)",
                ),
                ("2026-09-25 计 1 天（自然日）", "2026-09-25: 1 counted (calendar days)"),
                (
                    "2026-09-25 非工作日（中秋节），顺延至 2026-09-26",
                    "2026-09-25 is not a working day (Mid-autumn Festival), moved to 2026-09-26",
                ),
                (
                    "2026-09-26 非工作日（中秋节），顺延至 2026-09-27",
                    "2026-09-26 is not a working day (Mid-autumn Festival), moved to 2026-09-27",
                ),
                (
                    "2026-09-27 非工作日（中秋节），顺延至 2026-09-28",
                    "2026-09-27 is not a working day (Mid-autumn Festival), moved to 2026-09-28",
                ),
                ("截止时间 2026-09-28 23:59", "Due at 2026-09-28 23:59"),
            ],
        ),
        (
            EVENING,
            2,
            DayCount.MONTHS,
            [
                (
                    "2026-09-24 为起算日，不计入（收到当日）",
                    "2026-09-24 is the starting day and is not counted (the day of receipt)",
                ),
                ("计 2 个月，至 2026-11-24", "2 month(s), to 2026-11-24"),
                ("截止时间 2026-11-24 23:59", "Due at 2026-11-24 23:59"),
            ],
        ),
        (
            EVENING,
            36,
            DayCount.HOURS_24X7,
            [
                ("连续计 36 小时", "36 hours around the clock"),
                ("截止时间 2026-09-26 08:00", "Due at 2026-09-26 08:00"),
            ],
        ),
        (
            EVENING.replace(hour=16),
            2,
            DayCount.HOURS_DUTY,
            [
                ("2026-09-24 计办公时间 90 分钟", "2026-09-24: 90 minutes of office hours"),
                (
                    "2026-09-25 至 2026-09-27 不计（中秋节）",
                    "2026-09-25 to 2026-09-27: not counted (Mid-autumn Festival)",
                ),
                ("2026-09-28 计办公时间 30 分钟", "2026-09-28: 30 minutes of office hours"),
                ("截止时间 2026-09-28 09:30", "Due at 2026-09-28 09:30"),
            ],
        ),
    ],
)
def test_every_day_count_is_explained_in_both_languages(
    cn_city: Pack, start: dt.datetime, amount: int, day_count: DayCount, expected: list[tuple[str, str]]
) -> None:
    received, *rest = sentences(cn_city, start, amount, day_count)
    assert received[1] == f"Received at {start:%Y-%m-%d %H:%M} (Asia/Shanghai)"
    assert rest == expected


def test_the_facts_count_the_days_of_a_run(cn_city: Pack) -> None:
    steps = explain(cn_city.calendar, add_budget(cn_city.calendar, EVENING, 6, DayCount.WORKING_DAYS))
    days = [
        (step.facts["first"], step.facts["days"]) for step in steps if step.code in ("counted", "skipped")
    ]
    assert days == [
        ("2026-09-29", 2),
        ("2026-10-01", 7),
        ("2026-10-08", 2),
        ("2026-10-10", 1),
        ("2026-10-11", 1),
        ("2026-10-12", 1),
    ]


def test_a_roll_says_from_which_day_and_why(cn_city: Pack) -> None:
    steps = explain(cn_city.calendar, add_budget(cn_city.calendar, EVENING, 2, DayCount.CALENDAR_ROLL))
    assert [step.en for step in steps if step.code == "rolled"] == [
        "2026-09-26 is not a working day (Mid-autumn Festival), moved to 2026-09-27",
        "2026-09-27 is not a working day (Mid-autumn Festival), moved to 2026-09-28",
    ]


def test_a_deadline_in_a_year_without_a_notice_says_that_it_may_move(cn_city: Pack) -> None:
    for year, status, zh, en in (
        (
            2027,
            "provisional",
            "（该年放假安排尚未公布，暂按法定节假日计算）",
            " (provisional: that year's holiday notice is not published yet)",
        ),
        (
            2028,
            "undeclared",
            "（该年日历尚未录入，仅按周末计算）",
            " (that year's holidays are not in the calendar yet)",
        ),
    ):
        start = EVENING.replace(year=year)
        for day_count in (DayCount.WORKING_DAYS, DayCount.HOURS_DUTY, DayCount.CALENDAR_ROLL):
            due = explain(cn_city.calendar, add_budget(cn_city.calendar, start, 3, day_count))[-1]
            assert due.facts["calendar"] == status
            assert (due.zh.endswith(zh), due.en.endswith(en)) == (True, True)
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


def test_duty_hours_of_days_that_follow_each_other_are_counted_apart(cn_city: Pack) -> None:
    start = dt.datetime(2026, 11, 23, 16, tzinfo=SHANGHAI)  # a Monday; duty ends at 17:30
    steps = explain(cn_city.calendar, add_budget(cn_city.calendar, start, 12, DayCount.HOURS_DUTY))
    minutes = [(step.facts["day"], step.facts["minutes"]) for step in steps if step.code == "duty"]
    assert minutes == [("2026-11-23", 90.0), ("2026-11-24", 420.0), ("2026-11-25", 210.0)]


def test_a_roll_ends_on_the_local_day(us_city: Pack) -> None:
    # 23:59:59 in Baltimore is the next day in UTC.
    friday = dt.datetime(2026, 11, 20, 10, tzinfo=ZoneInfo(us_city.timezone))
    steps = explain(us_city.calendar, add_budget(us_city.calendar, friday, 1, DayCount.CALENDAR_ROLL))
    assert [(step.facts["last"], step.facts["to"]) for step in steps if step.code == "rolled"] == [
        ("2026-11-21", "2026-11-22"),
        ("2026-11-22", "2026-11-23"),
    ]
