"""Moments and spans as readers of both languages see them."""

import datetime as dt
import functools
from zoneinfo import ZoneInfo

import pytest

from shared.policy.remaining import Remaining
from shared.web.i18n import MessageCatalogue
from shared.web.times import exact, offset_name, relative, remaining, short, span

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("moment", "zone", "zh", "en"),
    [
        (
            dt.datetime(2026, 11, 24, 1, 30, tzinfo=dt.UTC),
            SHANGHAI,
            "2026年11月24日 09:30（UTC+8）",
            "24 November 2026, 09:30 (UTC+8)",
        ),
        (
            dt.datetime(2026, 1, 5, 9, 5, tzinfo=dt.UTC),
            ZoneInfo("UTC"),
            "2026年1月5日 09:05（UTC）",
            "5 January 2026, 09:05 (UTC)",
        ),
        (
            dt.datetime(2026, 7, 1, 2, 0, tzinfo=dt.UTC),
            ZoneInfo("America/New_York"),
            "2026年6月30日 22:00（UTC-4）",
            "30 June 2026, 22:00 (UTC-4)",
        ),
    ],
)
def test_an_exact_moment_names_date_time_and_offset(
    moment: dt.datetime, zone: ZoneInfo, zh: str, en: str
) -> None:
    assert exact(moment, zone, "zh") == zh
    assert exact(moment, zone, "en") == en


def test_every_month_is_named_in_english() -> None:
    shown = [exact(dt.datetime(2026, n, 1, tzinfo=dt.UTC), ZoneInfo("UTC"), "en") for n in range(1, 13)]
    assert [text.split()[1] for text in shown] == [
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ]


def test_a_dense_list_has_the_short_form() -> None:
    assert short(dt.datetime(2026, 1, 5, 1, 5, tzinfo=dt.UTC), SHANGHAI) == "01-05 09:05"


def test_spans_and_moments_in_words() -> None:
    catalogue = MessageCatalogue.load()

    def en(key: str, **params: object) -> str:
        return catalogue.text("en", key, **params)

    def zh(key: str, **params: object) -> str:
        return catalogue.text("zh", key, **params)

    now = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert span(dt.timedelta(seconds=20), en) == "less than 1 minute"
    assert span(dt.timedelta(hours=47), en) == "47 hours"
    assert relative(now + dt.timedelta(days=3), now, en) == "in 3 days"
    assert relative(now - dt.timedelta(minutes=1), now, en) == "1 minute ago"
    assert relative(now + dt.timedelta(hours=3), now, zh) == "3 小时后"


@pytest.mark.parametrize(
    ("minutes", "working", "late", "en", "zh"),
    [
        (0, True, True, "less than 1 working minute late", "超期 不到 1 个工作分钟"),
        (25, True, False, "25 working minutes left", "还剩 25 个工作分钟"),
        (190, True, False, "3 working hours left", "还剩 3 个工作小时"),
        (14 * 60 - 1, True, False, "13 working hours left", "还剩 13 个工作小时"),
        (14 * 60, True, True, "2 working days late", "超期 2 个工作日"),
        (41 * 60, True, False, "5 working days left", "还剩 5 个工作日"),
        (190, False, False, "3 hours left", "还剩 3 小时"),
        (3 * 24 * 60, False, True, "3 days late", "超期 3 天"),
    ],
)
def test_the_remaining_time_is_shown_in_the_time_of_its_clock(
    minutes: int, working: bool, late: bool, en: str, zh: str
) -> None:
    catalogue, day = MessageCatalogue.load(), dt.timedelta(hours=7 if working else 24)
    found = Remaining(dt.timedelta(minutes=minutes), day, working, late)
    shown = {
        language: remaining(found, functools.partial(catalogue.text, language)) for language in ("en", "zh")
    }
    assert shown == {"en": en, "zh": zh}


@pytest.mark.parametrize(
    ("zone", "name"), [("UTC", "UTC"), ("Asia/Shanghai", "UTC+8"), ("America/St_Johns", "UTC-3:30")]
)
def test_offsets_are_named_without_abbreviations(zone: str, name: str) -> None:
    moment = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
    assert offset_name(moment.astimezone(ZoneInfo(zone))) == name
    with pytest.raises(ValueError, match="zone"):
        exact(moment.replace(tzinfo=None), ZoneInfo(zone), "en")
