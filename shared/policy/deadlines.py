"""Deadlines: a budget added to a moment in one of six day counts, and the moments when a share of it is used.

`explain.explain` gives the reasons for a deadline.

Rules, unless the pack's law has another:
- whole days never count day zero, and hours run from the moment itself (Civil Code of China art. 201;
  UK Freedom of Information Act 2000 s.10);
- working days end when duty ends on the last one (Civil Code of China art. 203: where there are business
  hours, their end is the end of the last day); other days and months end with the local day's last second;
- a month ends on the same day of the month, or on its last day if there is no such day (Civil Code of China
  art. 202);
- `calendar_roll` moves a last day that is not a working day to the next working day (Civil Code of China
  art. 203; the Freedom of Information Act 1982 of Australia).
"""

import calendar as months
import datetime as dt
from bisect import bisect_left
from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from shared.policy.calendar import UTC, WorkCalendar, microseconds, moment_of
from shared.policy.model import Pack
from shared.policy.tables import Budget, DayCount

MICROSECONDS_AN_HOUR = 3_600_000_000


class Deadline(NamedTuple):
    """When something is due.

    Attributes
    ----------
    start, due
        UTC moments. A step taken at `due` is in time; one microsecond later it is late.
    amount, day_count
        The budget: hours (may be fractional), or whole days or months.
    day_zero
        The local day that is not counted; for hours, the local day on which they begin to run.
    """

    start: dt.datetime
    amount: int | float
    day_count: DayCount
    day_zero: dt.date
    due: dt.datetime


def add_budget(
    calendar: WorkCalendar, start: dt.datetime, amount: int | float, day_count: DayCount
) -> Deadline:
    """The deadline of a budget that begins at `start`.

    Parameters
    ----------
    calendar
        Its time zone decides where local days begin and end.
    start
        An aware moment in any time zone.
    amount, day_count
        The budget: hours (may be fractional), or whole days or months.

    Raises
    ------
    CalendarRange
        if `start` or the due moment lies outside the calendar's years. Hours day and night need only the
        start inside.
    ValueError
        for a naive `start`, an amount that is not positive, or a fractional number of days or months.
    """
    if amount <= 0:
        raise ValueError(f"a budget of {amount} {day_count} is not positive")
    if not isinstance(amount, int) and not day_count.hourly:
        raise ValueError(f"{amount} {day_count}: days and months are whole numbers")
    day_zero, due = _RULES[day_count](calendar, start, amount)
    begin = start if start.tzinfo is UTC else start.astimezone(UTC)
    return Deadline(begin, amount, day_count, dt.date.fromordinal(day_zero), due)


def at_percent(calendar: WorkCalendar, deadline: Deadline, percent: int) -> dt.datetime:
    """The UTC moment when `percent` of the budget is used, measured in its own day count.

    A day of the budget is used evenly: over its duty time for working days, so that a mark never falls into a
    night or on a day off, and over its 24 hours for other days.

    Parameters
    ----------
    calendar
        The calendar by which `deadline` was computed.
    percent
        1 to 100, both inclusive; 100 is the due moment itself.

    Raises
    ------
    ValueError
        for another percentage.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"{percent} % of a budget: give 1 to 100")
    if percent == 100:
        return deadline.due
    if deadline.day_count is DayCount.HOURS_24X7:
        return deadline.start + (deadline.due - deadline.start) * percent / 100
    if deadline.day_count is DayCount.HOURS_DUTY:
        used = _duty(deadline.amount) * percent // 100
        return _after_duty(calendar, deadline.start, max(used, 1))
    if deadline.day_count is DayCount.WORKING_DAYS:
        return _working_share(calendar, deadline, percent)
    return _calendar_share(calendar, deadline, percent)


def deadline_for(pack: Pack, kind: str, service_code: str, urgent: bool, start: dt.datetime) -> Deadline:
    """When the reply to a case is due that was accepted at `start` (an aware moment).

    A service's own budget overrides that of its kind. An urgent case also has the kind's urgent budget, and
    the earlier of the two deadlines counts: urgency never makes a case due later.

    Raises
    ------
    UnknownCode
        if the pack does not have the kind or the service.
    CalendarRange, ValueError
        as `add_budget` does.
    """
    return _earliest(
        [_add(pack, start, budget) for budget in _reply_budgets(pack, kind, service_code, urgent)]
    )


def rework_deadline(pack: Pack, kind: str, service_code: str, urgent: bool, start: dt.datetime) -> Deadline:
    """When the next reply is due to a case that was sent back for rework (重办) at `start` (an aware moment).

    The budget is the kind's share of the first one, rounded up to whole hours, days or months; for an urgent
    case the earlier deadline of the two counts, as for the first reply. The kind's minimum for a rework
    applies where it is longer than that share, but never beyond the whole first budget: an urgent danger
    that had two hours does not get a working day.

    Raises
    ------
    UnknownCode
        if the pack does not have the kind or the service.
    CalendarRange, ValueError
        as `add_budget` does.
    """
    rework = pack.kind(kind).rework
    budgets = _reply_budgets(pack, kind, service_code, urgent)
    share = _earliest(
        [
            add_budget(pack.calendar, start, ceil(budget.amount * rework.share), budget.day_count)
            for budget in budgets
        ]
    )
    if rework.minimum is None:
        return share
    minimum = _add(pack, start, rework.minimum)
    if minimum.due <= share.due:
        return share
    return _earliest([*(_add(pack, start, budget) for budget in budgets), minimum])


def clock_deadline(pack: Pack, clock: str, urgent: bool, start: dt.datetime) -> Deadline:
    """When a clock of the procedure, such as `sign` (签收), runs out if it begins at `start`.

    Raises
    ------
    UnknownCode
        if the pack does not have the clock.
    CalendarRange, ValueError
        as `add_budget` does.
    """
    return _add(pack, start, clock_budget(pack, clock, urgent))


def clock_budget(pack: Pack, clock: str, urgent: bool) -> Budget:
    """The budget of a clock of the procedure; an urgent case has the urgent one if there is one.

    Raises UnknownCode if the pack does not have the clock.
    """
    rules = pack.clock(clock)
    return (urgent and rules.urgent) or rules.normal


def _reply_budgets(pack: Pack, kind: str, service_code: str, urgent: bool) -> list[Budget]:
    """The budgets for a reply; the one that ends first counts."""
    rules = pack.kind(kind)
    ordinary = pack.service(service_code).due or rules.reply
    return [rules.urgent_reply, ordinary] if urgent else [ordinary]


def _earliest(deadlines: list[Deadline]) -> Deadline:
    return min(deadlines, key=lambda deadline: deadline.due)


def _add(pack: Pack, start: dt.datetime, budget: Budget) -> Deadline:
    return add_budget(pack.calendar, start, budget.amount, budget.day_count)


def _hours_24x7(calendar: WorkCalendar, start: dt.datetime, amount: int | float) -> tuple[int, dt.datetime]:
    return calendar.receipt_day(start), start.astimezone(UTC) + dt.timedelta(hours=amount)


def _hours_duty(calendar: WorkCalendar, start: dt.datetime, amount: int | float) -> tuple[int, dt.datetime]:
    calendar.receipt_day(start)
    begins = _after_duty(calendar, start, 1)  # the microsecond after which duty time is running
    return calendar.receipt_day(begins), _after_duty(calendar, start, _duty(amount))


def _working_days(calendar: WorkCalendar, start: dt.datetime, amount: int | float) -> tuple[int, dt.datetime]:
    zero = calendar.day_zero(start)
    last = calendar.working_days_through(zero) + int(amount) - 1
    return zero, calendar.closes[calendar.working_index(last)]


def _calendar_days(
    calendar: WorkCalendar, start: dt.datetime, amount: int | float
) -> tuple[int, dt.datetime]:
    zero = calendar.receipt_day(start)
    return zero, calendar.day_ends[calendar.index(zero + int(amount))]


def _calendar_roll(
    calendar: WorkCalendar, start: dt.datetime, amount: int | float
) -> tuple[int, dt.datetime]:
    zero = calendar.receipt_day(start)
    last = calendar.nth_working_day_after(zero + int(amount) - 1, 1)
    return zero, calendar.day_ends[calendar.index(last)]


def _months(calendar: WorkCalendar, start: dt.datetime, amount: int | float) -> tuple[int, dt.datetime]:
    zero = calendar.receipt_day(start)
    last = add_months(dt.date.fromordinal(zero), int(amount)).toordinal()
    return zero, calendar.day_ends[calendar.index(last)]


_RULES: dict[DayCount, Callable[[WorkCalendar, dt.datetime, int | float], tuple[int, dt.datetime]]] = {
    DayCount.HOURS_24X7: _hours_24x7,
    DayCount.HOURS_DUTY: _hours_duty,
    DayCount.WORKING_DAYS: _working_days,
    DayCount.CALENDAR_DAYS: _calendar_days,
    DayCount.CALENDAR_ROLL: _calendar_roll,
    DayCount.MONTHS: _months,
}


def add_months(day: dt.date, count: int) -> dt.date:
    """The same day `count` months later, or the last day of that month if there is no such day.

    Civil Code of China art. 202.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return dt.date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def _duty(hours: int | float) -> int:
    return round(hours * MICROSECONDS_AN_HOUR)


def _after_duty(calendar: WorkCalendar, start: dt.datetime, duty: int) -> dt.datetime:
    """The UTC moment when `duty` microseconds of duty time have passed since `start`."""
    total = calendar.duty_through(microseconds(start)) + duty
    span = bisect_left(calendar.duty_before, total) - 1
    if span >= len(calendar.opens_at):
        raise calendar.out_of_range(f"{start} plus {duty / MICROSECONDS_AN_HOUR} duty hours")
    return moment_of(calendar.opens_at[span] + total - calendar.duty_before[span])


def _working_share(calendar: WorkCalendar, deadline: Deadline, percent: int) -> dt.datetime:
    full, rest = divmod(int(deadline.amount) * percent, 100)
    following = calendar.working_days_through(deadline.day_zero.toordinal())
    if rest == 0:
        return calendar.closes[following + full - 1]
    first, end = calendar.first_span[following + full : following + full + 2]
    before = calendar.duty_before[first]
    target = before + (calendar.duty_before[end] - before) * rest // 100
    span = bisect_left(calendar.duty_before, target) - 1
    return moment_of(calendar.opens_at[span] + target - calendar.duty_before[span])


def _calendar_share(calendar: WorkCalendar, deadline: Deadline, percent: int) -> dt.datetime:
    zero = calendar.index(deadline.day_zero.toordinal())
    days = int(deadline.amount)
    if deadline.day_count is DayCount.MONTHS:
        days = add_months(deadline.day_zero, days).toordinal() - deadline.day_zero.toordinal()
    full, rest = divmod(days * percent, 100)
    since, until = calendar.day_ends[zero + full : zero + full + 2]
    return since + (until - since) * rest / 100
