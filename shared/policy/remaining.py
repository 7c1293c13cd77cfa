"""The time that remains until something is due, in the time by which its clock runs."""

import datetime as dt
from typing import NamedTuple

from shared.policy.calendar import WorkCalendar, microseconds
from shared.policy.tables import DayCount

DAY = dt.timedelta(days=1)
_WORKING = frozenset({DayCount.WORKING_DAYS, DayCount.HOURS_DUTY})


class Remaining(NamedTuple):
    """The time until a due moment or, if `late`, since it.

    Attributes
    ----------
    length
        Never negative: duty time if `working`, else calendar time.
    day
        The length of one day: the duty hours of an ordinary working day if `working`, else 24 hours.
    working
        Whether `length` counts duty time alone.
    late
        Whether the due moment has passed; at the due moment itself it has not.
    """

    length: dt.timedelta
    day: dt.timedelta
    working: bool
    late: bool


def time_remaining(
    calendar: WorkCalendar | None, day_count: str | None, due: dt.datetime, now: dt.datetime
) -> Remaining:
    """The time from `now` to `due`.

    Parameters
    ----------
    calendar
        The calendar by which the deadline was computed; None if the pack is unknown.
    day_count
        The value of the deadline's `DayCount`; None if unknown. Duty time is counted for `working_days`
        and `hours_duty`, calendar time for all others, and where calendar or day count are unknown or a
        moment lies outside the calendar's years.
    due, now
        Aware moments in any time zone.
    """
    late = now > due
    since, until = (due, now) if late else (now, due)
    if (
        calendar is None
        or day_count not in _WORKING
        or not (calendar.covers(since) and calendar.covers(until))
    ):
        return Remaining(until - since, DAY, False, late)
    duty = calendar.duty_through(microseconds(until)) - calendar.duty_through(microseconds(since))
    return Remaining(dt.timedelta(microseconds=duty), calendar.ordinary_day, True, late)
