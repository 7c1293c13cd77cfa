"""The reasons for a deadline: the steps from receipt to the due moment, as facts and as sentences.

The facts are sufficient to count the days again without the calendar, so that a citizen, a court or the audit
service can check them. A property test replays them for any deadline.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Literal, NamedTuple

from shared.policy.calendar import ONE_SECOND, DayNote, WorkCalendar, microseconds
from shared.policy.deadlines import Deadline, add_months
from shared.policy.tables import DayCount

Language = Literal["zh", "en"]
Facts = dict[str, str | int | float]

_WORKING = ("working", "extra")
_LOOKS_AT_HOLIDAYS = (DayCount.HOURS_DUTY, DayCount.WORKING_DAYS, DayCount.CALENDAR_ROLL)
_MICROSECONDS_A_MINUTE = 60_000_000


class ExplanationStep(NamedTuple):
    """One step of an explanation.

    Attributes
    ----------
    code
        `received`, `day_zero`, `counted`, `skipped`, `duty`, `elapsed`, `months`, `rolled` or `due`.
    facts
        JSON values: local days as ISO dates, moments in ISO format with offset; `first` and `last` are both
        inclusive.

        received: at, zone. day_zero: day, reason. counted: first, last, days, reason. skipped: first, last,
        days, reason, and name and name_en of a holiday. duty: day, minutes. elapsed: hours. months: count,
        last. rolled: last, to, reason, and name and name_en of a holiday. due: at, utc, and, if holidays
        count, calendar (`WorkCalendar.status` of the year).
    zh, en
        The sentence in Chinese and in English.
    """

    code: str
    facts: Facts
    zh: str
    en: str

    def text(self, language: Language) -> str:
        """The sentence in one language."""
        return self.zh if language == "zh" else self.en


def explain(calendar: WorkCalendar, deadline: Deadline) -> list[ExplanationStep]:
    """The steps of a deadline, from `received` to `due`.

    Parameters
    ----------
    calendar
        The calendar by which `deadline` was computed.
    deadline
        The result of `add_budget`.

    Raises
    ------
    CalendarRange
        if the deadline was computed by a calendar that covers more years.
    """
    received = deadline.start.astimezone(calendar.tz)
    steps = [_step("received", at=received.isoformat(), zone=str(calendar.tz))]
    steps += _BODIES[deadline.day_count](calendar, deadline)
    local = deadline.due.astimezone(calendar.tz)
    facts: Facts = {"at": local.isoformat(), "utc": deadline.due.isoformat()}
    if deadline.day_count in _LOOKS_AT_HOLIDAYS:
        facts["calendar"] = calendar.status(local.year)
    steps.append(_step("due", **facts))
    return steps


def _elapsed(_calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    yield _step("elapsed", hours=deadline.amount)


def _duty(calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    first = calendar.receipt_day(deadline.start)
    last = deadline.due.astimezone(calendar.tz).toordinal()
    for note, run in groupby(range(first, last + 1), calendar.note):
        days = list(run)
        if note.reason not in _WORKING:
            yield _skipped(days[0], days[-1], note)
            continue
        for day in days:
            index = calendar.index(day)
            begin = calendar.day_ends[index - 1] + ONE_SECOND if index else deadline.start
            end = calendar.day_ends[index] + ONE_SECOND
            used = _duty_between(calendar, max(deadline.start, begin), min(deadline.due, end))
            yield _step("duty", day=_iso(day), minutes=used / _MICROSECONDS_A_MINUTE)


def _duty_between(calendar: WorkCalendar, start: dt.datetime, until: dt.datetime) -> int:
    return calendar.duty_through(microseconds(until)) - calendar.duty_through(microseconds(start))


def _working_days(calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    zero = deadline.day_zero.toordinal()
    received = calendar.receipt_day(deadline.start)
    if zero != received:
        note = calendar.note(received)
        reason = "after_hours" if note.reason in _WORKING else "not_working"
    else:
        reason = "receipt"
    yield _step("day_zero", day=_iso(zero), reason=reason)
    last = deadline.due.astimezone(calendar.tz).toordinal()
    for note, run in groupby(range(zero + 1, last + 1), calendar.note):
        days = list(run)
        if note.reason in _WORKING:
            yield _counted(days[0], days[-1], note.reason)
        else:
            yield _skipped(days[0], days[-1], note)


def _calendar_days(calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    zero = calendar.receipt_day(deadline.start)
    yield _step("day_zero", day=_iso(zero), reason="receipt")
    yield _counted(zero + 1, zero + int(deadline.amount), "calendar")


def _calendar_roll(calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    yield from _calendar_days(calendar, deadline)
    nominal = calendar.receipt_day(deadline.start) + int(deadline.amount)
    last = deadline.due.astimezone(calendar.tz).toordinal()
    for ordinal in range(nominal, last):
        yield _step("rolled", last=_iso(ordinal), to=_iso(ordinal + 1), **_name(calendar.note(ordinal)))


def _months(calendar: WorkCalendar, deadline: Deadline) -> Iterator[ExplanationStep]:
    zero = calendar.receipt_day(deadline.start)
    yield _step("day_zero", day=_iso(zero), reason="receipt")
    last = add_months(deadline.day_zero, int(deadline.amount))
    yield _step("months", count=deadline.amount, last=last.isoformat())


_BODIES: dict[DayCount, Callable[[WorkCalendar, Deadline], Iterator[ExplanationStep]]] = {
    DayCount.HOURS_24X7: _elapsed,
    DayCount.HOURS_DUTY: _duty,
    DayCount.WORKING_DAYS: _working_days,
    DayCount.CALENDAR_DAYS: _calendar_days,
    DayCount.CALENDAR_ROLL: _calendar_roll,
    DayCount.MONTHS: _months,
}

_TEXTS: dict[str, tuple[str, str]] = {
    "received": ("收到时间 {moment}（{zone}）", "Received at {moment} ({zone})"),
    "day_zero": (
        "{day} 为起算日，不计入（{why_zh}）",
        "{day} is the starting day and is not counted ({why_en})",
    ),
    "counted": ("{span_zh} 计 {days} 天（{why_zh}）", "{span_en}: {days} counted ({why_en})"),
    "skipped": ("{span_zh} 不计（{why_zh}）", "{span_en}: not counted ({why_en})"),
    "duty": ("{day} 计办公时间 {minutes:g} 分钟", "{day}: {minutes:g} minutes of office hours"),
    "elapsed": ("连续计 {hours:g} 小时", "{hours:g} hours around the clock"),
    "months": ("计 {count} 个月，至 {last}", "{count} month(s), to {last}"),
    "rolled": (
        "{last} 非工作日（{why_zh}），顺延至 {to}",
        "{last} is not a working day ({why_en}), moved to {to}",
    ),
    "due": ("截止时间 {moment}{why_zh}", "Due at {moment}{why_en}"),
}

_WHYS: dict[str, tuple[str, str]] = {
    "receipt": ("收到当日", "the day of receipt"),
    "after_hours": ("收到时已过办公时间", "received after office hours"),
    "not_working": ("收到日非工作日", "received on a non-working day"),
    "working": ("工作日", "working days"),
    "extra": ("调休上班日", "make-up working days"),
    "calendar": ("自然日", "calendar days"),
    "weekend": ("周末", "weekend"),
    "declared": ("", ""),
    "provisional": (
        "（该年放假安排尚未公布，暂按法定节假日计算）",
        " (provisional: that year's holiday notice is not published yet)",
    ),
    "undeclared": (
        "（该年日历尚未录入，仅按周末计算）",
        " (that year's holidays are not in the calendar yet)",
    ),
}


def _step(code: str, **facts: str | int | float) -> ExplanationStep:
    zh, en = _TEXTS[code]
    words = facts | _words(facts)
    return ExplanationStep(code, facts, zh.format(**words), en.format(**words))


def _words(facts: Facts) -> Facts:
    """The parameters of the sentences that the facts do not have.

    Reasons and names by language, a range of days that may be a single day, and moments to the minute.
    """
    why = str(facts.get("reason", facts.get("calendar", "")))
    why_zh, why_en = _WHYS.get(why, (str(facts.get("name", "")), str(facts.get("name_en", ""))))
    first, last = facts.get("first"), facts.get("last")
    single = first == last
    return {
        "moment": str(facts.get("at", ""))[: len("2026-11-24T09:30")].replace("T", " "),
        "why_zh": why_zh,
        "why_en": why_en,
        "span_zh": f"{first}" if single else f"{first} 至 {last}",
        "span_en": f"{first}" if single else f"{first} to {last}",
    }


def _counted(first: int, last: int, reason: str) -> ExplanationStep:
    return _step("counted", first=_iso(first), last=_iso(last), days=last - first + 1, reason=reason)


def _skipped(first: int, last: int, note: DayNote) -> ExplanationStep:
    return _step("skipped", first=_iso(first), last=_iso(last), days=last - first + 1, **_name(note))


def _name(note: DayNote) -> dict[str, str]:
    named = {"name": note.name, "name_en": note.name_en} if note.name else {}
    return {"reason": note.reason, **named}


def _iso(ordinal: int) -> str:
    return dt.date.fromordinal(ordinal).isoformat()
