"""calendar.yaml as rows: duty hours, the rule of day zero, holidays and make-up working days (调休)."""

import datetime as dt
import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from shared.policy.tables import Row, Source

MINUTES_A_DAY = 24 * 60

_SPAN = re.compile(r"^(\d\d):(\d\d)-(\d\d):(\d\d)$")


def _minutes(text: object) -> object:
    """`"08:30-17:30"` as minutes after local midnight; `24:00` is the end of the day.

    Other values than text are returned as they are. Raises ValueError.
    """
    if not isinstance(text, str):
        return text
    found = _SPAN.match(text)
    if found is None:
        raise ValueError(f'{text!r} is not a span of duty hours: write it like "08:30-17:30"')
    h1, m1, h2, m2 = map(int, found.groups())
    opens, closes = h1 * 60 + m1, h2 * 60 + m2
    if not opens < closes <= MINUTES_A_DAY or m1 > 59 or m2 > 59:
        raise ValueError(f"{text!r} does not run forward inside one day")
    return opens, closes


def clock_face(minute: int) -> str:
    """Minutes after local midnight as `HH:MM`."""
    return f"{minute // 60:02}:{minute % 60:02}"


Span = Annotated[
    tuple[int, int],
    BeforeValidator(_minutes),
    PlainSerializer(lambda span: f"{clock_face(span[0])}-{clock_face(span[1])}", return_type=str),
]
"""Begin (inclusive) and end (exclusive) in minutes after local midnight, written `"08:30-17:30"`."""


class Duty(Row):
    """Weekly duty hours as spans of local time; a weekday without spans is not a working day.

    `extra` has the duty hours of make-up working days (调休).
    """

    mon: tuple[Span, ...] = ()
    tue: tuple[Span, ...] = ()
    wed: tuple[Span, ...] = ()
    thu: tuple[Span, ...] = ()
    fri: tuple[Span, ...] = ()
    sat: tuple[Span, ...] = ()
    sun: tuple[Span, ...] = ()
    extra: tuple[Span, ...] = ()
    source: Source

    @property
    def week(self) -> tuple[tuple[Span, ...], ...]:
        """The seven days, Monday first."""
        return (self.mon, self.tue, self.wed, self.thu, self.fri, self.sat, self.sun)

    @model_validator(mode="after")
    def _hours_make_sense(self) -> Self:
        if not any(self.week):
            raise ValueError("no weekday has duty hours: a deadline in working days would never end")
        for spans in (*self.week, self.extra):
            if any(a[1] > b[0] for a, b in pairwise(spans)):
                raise ValueError("spans of duty hours overlap or are out of order: sort them")
        return self


class Holiday(Row):
    """Days off from `first` to `last`, both inclusive; one day without `last`."""

    name: str
    name_en: str
    first: dt.date
    last: dt.date | None = None

    @property
    def days(self) -> tuple[dt.date, ...]:
        """Its days in order; none if `last` is before `first`."""
        last = self.last or self.first
        return tuple(self.first + dt.timedelta(n) for n in range((last - self.first).days + 1))


class Year(Row):
    """The holidays of a year; `provisional` if known by law while the year's notice is not published yet."""

    year: int = Field(ge=2000, le=2100)
    status: Literal["declared", "provisional"]
    holidays: tuple[Holiday, ...]
    extra_working_days: tuple[dt.date, ...] = ()
    source: Source

    @model_validator(mode="after")
    def _days_stand_once_and_in_their_year(self) -> Self:
        days = [*self.extra_working_days, *(day for holiday in self.holidays for day in holiday.days)]
        for day in days:
            if day.year != self.year:
                raise ValueError(f"{day} is listed under {self.year}: move it to its year")
        twice = sorted({str(day) for day in days if days.count(day) > 1})
        if twice:
            raise ValueError(
                f"{', '.join(twice)} occurs twice: a day is one holiday or one extra working day"
            )
        for holiday in self.holidays:
            if not holiday.days:
                raise ValueError(f"{holiday.name} ends before it begins: swap first and last")
        return self


class DayZero(Row):
    """The rule for day zero of budgets in working days, the day that is not counted.

    `receipt_day`: the day of receipt, working day or not (UK Freedom of Information Act 2000 s.10: the first
    working day after the receipt is day one). `next_working_moment`: the day of receipt before duty ends on a
    working day, else the next working day.
    """

    rule: Literal["receipt_day", "next_working_moment"]
    source: Source


class CalendarTable(Row):
    """calendar.yaml: duty hours, the rule of day zero, and holidays of consecutive years."""

    duty: Duty
    day_zero: DayZero
    years: tuple[Year, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _years_follow_each_other(self) -> Self:
        listed = [entry.year for entry in self.years]
        if listed != list(range(listed[0], listed[0] + len(listed))):
            raise ValueError(f"years {listed}: list each once, in order, without a gap")
        for entry in self.years:
            if entry.extra_working_days and not self.duty.extra:
                raise ValueError("there are extra working days but no hours for them: add duty.extra")
        return self
