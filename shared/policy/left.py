"""How much time is left until something is due, in the time by which its clock runs."""

import datetime as dt
from typing import NamedTuple

from shared.policy.calendar import WorkCalendar, microseconds
from shared.policy.tables import DayCount

DAY = dt.timedelta(days=1)
_WORKING = frozenset({DayCount.WORKING_DAYS, DayCount.HOURS_DUTY})


class Left(NamedTuple):
    """`length` is what is left or, if `late`, has passed since: of duty time if `working`, else of all time.

    `day` is how much of it makes a day: the duty hours of an ordinary working day, or 24 hours.
    """

    length: dt.timedelta
    day: dt.timedelta
    working: bool
    late: bool


def time_left(
    calendar: WorkCalendar | None, day_count: str | None, due: dt.datetime, now: dt.datetime
) -> Left:
    """From `now` to `due`, both aware, for a deadline that was counted by `day_count` on this calendar.

    Outside the calendar's years, and where nobody knows calendar or day count, it is all time.
    """
    late = now > due
    since, until = (due, now) if late else (now, due)
    if (
        calendar is None
        or day_count not in _WORKING
        or not (calendar.covers(since) and calendar.covers(until))
    ):
        return Left(until - since, DAY, False, late)
    duty = calendar.duty_through(microseconds(until)) - calendar.duty_through(microseconds(since))
    return Left(dt.timedelta(microseconds=duty), calendar.ordinary_day, True, late)
