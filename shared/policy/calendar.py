"""A calendar compiled into tables, so that a deadline is a look-up.

Inside, a day is its proleptic ordinal (`date.toordinal`) and a moment is whole microseconds since 1970 UTC:
two processes that compute the same deadline get the same integer.
"""

import datetime as dt
from bisect import bisect_right
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.policy.calendar_table import MINUTES_A_DAY, CalendarTable, Span
from shared.policy.errors import CalendarRange

UTC = dt.UTC
EPOCH = dt.datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = dt.timedelta(microseconds=1)
ONE_SECOND = dt.timedelta(seconds=1)

# Years after the last listed one are computed from the week alone, so that a long deadline set in December
# has a date at all; `status` returns "undeclared", and the explanation shows it.
UNDECLARED_YEARS = 10


class DayNote(NamedTuple):
    """Why a day is a working day or not.

    `reason` is `working`, `extra` (a make-up working day, 调休), `weekend` or `holiday`; only a holiday has
    names.
    """

    reason: str
    name: str = ""
    name_en: str = ""


def microseconds(moment: dt.datetime) -> int:
    """Whole microseconds from 1970 UTC to an aware moment, rounded down."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(stamp: int) -> dt.datetime:
    """The UTC moment that lies `stamp` microseconds after 1970 UTC."""
    return EPOCH + dt.timedelta(microseconds=stamp)


class WorkCalendar:
    """Working days, duty hours and ends of days of one pack in one time zone. Immutable once built.

    Parameters
    ----------
    table
        The contents of calendar.yaml.
    timezone
        The IANA name of the jurisdiction's time zone, in which days begin and end and duty hours are given.

    Attributes
    ----------
    first, last
        Ordinals of the first and the last day that it covers, both inclusive: the years of the table, and
        `UNDECLARED_YEARS` more.
    working
        Ordinals of the working days.
    rank
        `rank[day - first]` is the number of working days before `day`, so `working[rank]` is the first one
        that is not before it.
    closes
        `closes[n]` is the UTC moment at which duty ends on the n-th working day, counted from 0.
    day_ends
        `day_ends[day - first]` is the UTC moment of the last second of the local day.
    opens_at, closes_at
        The duty spans in microseconds since 1970 UTC; the end is exclusive.
    duty_before
        The duty time in microseconds before each span, and behind the last one the total.
    first_span
        The index of the first span of each working day, and behind the last one the number of spans.
    ordinary_day
        The duty time of the longest weekday.
    waits_for_duty
        Whether the day of receipt moves to the next duty moment (`DayZero`).
    """

    def __init__(self, table: CalendarTable, timezone: str) -> None:
        self.table = table
        self.tz = ZoneInfo(timezone)
        self.first = dt.date(table.years[0].year, 1, 1).toordinal()
        self.last = dt.date(table.years[-1].year + UNDECLARED_YEARS, 12, 31).toordinal()
        self.ordinary_day = dt.timedelta(
            minutes=max(sum(closes - opens for opens, closes in spans) for spans in table.duty.week)
        )
        self.waits_for_duty = table.day_zero.rule == "next_working_moment"
        self._status = {entry.year: entry.status for entry in table.years}
        self._holidays = {
            day.toordinal(): DayNote("holiday", holiday.name, holiday.name_en)
            for entry in table.years
            for holiday in entry.holidays
            for day in holiday.days
        }
        self._extra = {day.toordinal() for entry in table.years for day in entry.extra_working_days}
        self.rank: list[int] = []
        self.working: list[int] = []
        self.closes: list[dt.datetime] = []
        self.day_ends: list[dt.datetime] = []
        self.opens_at: list[int] = []
        self.closes_at: list[int] = []
        self.duty_before: list[int] = []
        self.first_span: list[int] = []
        self._compile()

    def _compile(self) -> None:
        duty = 0
        for ordinal in range(self.first, self.last + 1):
            self.rank.append(len(self.working))
            self.day_ends.append(self._local(ordinal, MINUTES_A_DAY) - ONE_SECOND)
            spans = self.spans(ordinal)
            if not spans:
                continue
            self.working.append(ordinal)
            self.first_span.append(len(self.opens_at))
            for opens, closes in spans:
                start, end = self._stamp(ordinal, opens), self._stamp(ordinal, closes)
                self.opens_at.append(start)
                self.closes_at.append(end)
                self.duty_before.append(duty)
                duty += end - start
            # Duty until midnight ends with the day's last second, so that the due moment lies on the day.
            self.closes.append(min(self._local(ordinal, spans[-1][1]), self.day_ends[-1]))
        self.first_span.append(len(self.opens_at))
        self.duty_before.append(duty)

    def _local(self, ordinal: int, minute: int) -> dt.datetime:
        day = dt.date.fromordinal(ordinal + minute // MINUTES_A_DAY)
        time = dt.time(minute % MINUTES_A_DAY // 60, minute % 60)
        return dt.datetime.combine(day, time, self.tz).astimezone(UTC)

    def _stamp(self, ordinal: int, minute: int) -> int:
        return microseconds(self._local(ordinal, minute))

    def note(self, ordinal: int) -> DayNote:
        """Why the day is a working day or not; a make-up working day (调休) overrides its weekend."""
        if ordinal in self._extra:
            return DayNote("extra")
        holiday = self._holidays.get(ordinal)
        if holiday is not None:
            return holiday
        weekday = dt.date.fromordinal(ordinal).weekday()
        return DayNote("working" if self.table.duty.week[weekday] else "weekend")

    def spans(self, ordinal: int) -> tuple[Span, ...]:
        """The duty hours of a day in minutes after local midnight; none if it is not a working day."""
        reason = self.note(ordinal).reason
        if reason == "extra":
            return self.table.duty.extra
        return self.table.duty.week[dt.date.fromordinal(ordinal).weekday()] if reason == "working" else ()

    def status(self, year: int) -> str:
        """`declared`, `provisional` or `undeclared`: how far the holidays of a year are known."""
        return self._status.get(year, "undeclared")

    def is_working(self, ordinal: int) -> bool:
        """Whether the day has duty hours. Raises CalendarRange."""
        rank = self.rank[self.index(ordinal)]
        return rank < len(self.working) and self.working[rank] == ordinal

    def covers(self, moment: dt.datetime) -> bool:
        """Whether the local day of an aware moment lies in the calendar's years."""
        return self.first <= moment.astimezone(self.tz).toordinal() <= self.last

    def index(self, ordinal: int) -> int:
        """The index of a day in `rank` and `day_ends`. Raises CalendarRange."""
        if not self.first <= ordinal <= self.last:
            raise self.out_of_range(str(dt.date.fromordinal(ordinal)))
        return ordinal - self.first

    def receipt_day(self, start: dt.datetime) -> int:
        """The ordinal of a moment's local day. Raises CalendarRange, and ValueError for a naive moment."""
        if start.tzinfo is None:
            raise ValueError(f"{start} has no time zone: deadlines need aware moments")
        ordinal = start.astimezone(self.tz).toordinal()
        self.index(ordinal)
        return ordinal

    def day_zero(self, start: dt.datetime) -> int:
        """The ordinal of the day after which working days are counted, by the pack's rule (`DayZero`).

        Duty hours end exclusively: a receipt at the very moment when duty ends comes after it. Raises
        CalendarRange, and ValueError for a naive moment.
        """
        day = self.receipt_day(start)
        if not self.waits_for_duty:
            return day
        if self.is_working(day) and start < self.closes[self.rank[day - self.first]]:
            return day
        return self.nth_working_day_after(day, 1)

    def working_days_through(self, ordinal: int) -> int:
        """The number of working days from the calendar's first day to this one, both inclusive."""
        following = self.index(ordinal) + 1
        return self.rank[following] if following < len(self.rank) else len(self.working)

    def nth_working_day_after(self, ordinal: int, n: int) -> int:
        """The ordinal of the n-th working day after a day, which does not count. Raises CalendarRange."""
        return self.working[self.working_index(self.working_days_through(ordinal) + n - 1)]

    def working_index(self, n: int) -> int:
        """`n` if it is an index of `working` and `closes`. Raises CalendarRange otherwise."""
        if n >= len(self.working):
            raise self.out_of_range(f"working day {n}")
        return n

    def duty_through(self, stamp: int) -> int:
        """The duty time in microseconds from the calendar's first day to a moment (`microseconds`)."""
        n = bisect_right(self.opens_at, stamp) - 1
        return 0 if n < 0 else self.duty_before[n] + min(stamp, self.closes_at[n]) - self.opens_at[n]

    def out_of_range(self, moment: str) -> CalendarRange:
        """The error for a moment outside the compiled years."""
        first, last = dt.date.fromordinal(self.first), dt.date.fromordinal(self.last)
        return CalendarRange(moment, str(first), str(last))
