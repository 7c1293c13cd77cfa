"""Moments and spans in the reader's language, with the exact time and zone beside them."""

import datetime as dt
from collections.abc import Callable
from zoneinfo import ZoneInfo

from babel.dates import format_date

from shared.policy.remaining import DAY, Remaining

_MINUTE, _HOUR = dt.timedelta(minutes=1), dt.timedelta(hours=1)

# CLDR's English without a country is American: it puts the month first.
_LOCALES = {"zh": "zh", "en": "en_GB"}
_EXACT = {"zh": "{date} {time:%H:%M}（{offset}）", "en": "{date}, {time:%H:%M} ({offset})"}

Texts = Callable[..., str]
"""A message key and its parameters -> the text in the reader's language."""


def exact(moment: dt.datetime, zone: ZoneInfo, language: str) -> str:
    """`2026年11月24日 09:30（UTC+8）` or `24 November 2026, 09:30 (UTC+8)`.

    The offset stands for the zone because abbreviations such as CST name several.

    Raises
    ------
    ValueError
        for a naive moment.
    """
    if moment.tzinfo is None:
        raise ValueError("a moment without zone cannot be shown")
    local = moment.astimezone(zone)
    date = format_date(local.date(), "long", locale=_LOCALES[language])
    return _EXACT[language].format(date=date, time=local, offset=offset_name(local))


def short(moment: dt.datetime, zone: ZoneInfo) -> str:
    """`11-24 09:30`, for dense lists."""
    return f"{moment.astimezone(zone):%m-%d %H:%M}"


def offset_name(local: dt.datetime) -> str:
    """The UTC offset of an aware moment as `UTC`, `UTC+8` or `UTC-3:30`."""
    minutes = int((local.utcoffset() or dt.timedelta()).total_seconds() // 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02d}" if rest else "")


def span(length: dt.timedelta, text: Texts, *, day: dt.timedelta = DAY, working: bool = False) -> str:
    """`3 hours`, `2 working days`: the absolute length in the largest unit of which there are two.

    The texts are ours and not CLDR's, which has no working hours or days. `day` is the length of one day:
    24 hours, or the duty hours of an ordinary working day if `working`.
    """
    length, of = abs(length), "working_" if working else ""
    if length < _MINUTE:
        return text(f"time.{of}moment")
    if length < _HOUR:
        return text(f"time.{of}minutes", count=length // _MINUTE)
    if length < 2 * day:
        return text(f"time.{of}hours", count=length // _HOUR)
    return text(f"time.{of}days", count=length // day)


def remaining(found: Remaining, text: Texts) -> str:
    """`in 3 working hours` until something is due, or `2 working days late`."""
    words = span(found.length, text, day=found.day, working=found.working)
    return text("time.late" if found.late else "time.left", span=words)


def relative(moment: dt.datetime, now: dt.datetime, text: Texts) -> str:
    """`in 3 hours` or `2 days ago`, in calendar time."""
    length = moment - now
    return text("time.ahead" if length > dt.timedelta() else "time.past", span=span(length, text))
