"""Deadlines: a budget added to a moment in one of six day counts, and the moments when a share of it is used.

Computing says only when; `explain.explain` says why, when somebody asks.

Rules, where the pack's law does not say otherwise:
- whole days never count day zero, and hours run from the moment itself (Civil Code of China art. 201;
  the UK Freedom of Information Act s.10);
- working days end when duty ends on the last one (Civil Code art. 203: where there are business hours,
  their end is the end of the last day); other days and months end with the local day's last second;
- a month ends on the same day of the month, or on the last one if it has none (art. 202);
- `calendar_roll` moves a last day that is no working day to the next one (art. 203; Australia FOI).
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
    """When something is due. `start` and `due` are UTC; `day_zero` is the local day that is not counted.

    For hours `day_zero` is the local day on which they begin to run.
    """

    start: dt.datetime
    amount: int | float
    day_count: DayCount
    day_zero: dt.date
    due: dt.datetime


def add_budget(
    calendar: WorkCalendar, start: dt.datetime, amount: int | float, day_count: DayCount
) -> Deadline:
    """The deadline of a budget of `amount` hours, days or months that begins at the aware moment `start`.

    Raises CalendarRange beyond the calendar, and ValueError for a naive `start`, an amount that is not
    positive, or a broken number of days.
    """
    if amount <= 0:
        raise ValueError(f"a budget of {amount} {day_count} is no time at all")
    if not isinstance(amount, int) and not day_count.hourly:
        raise ValueError(f"{amount} {day_count}: days and months are whole numbers")
    day_zero, due = _RULES[day_count](calendar, start, amount)
    begin = start if start.tzinfo is UTC else start.astimezone(UTC)
    return Deadline(begin, amount, day_count, dt.date.fromordinal(day_zero), due)


def at_percent(calendar: WorkCalendar, deadline: Deadline, percent: int) -> dt.datetime:
    """The UTC moment when `percent` (1..100) of the budget is used, measured in its own day count.

    A day of the budget is used evenly: through its duty time for working days, so that a mark never falls
    on a night or a day off, and through its 24 hours for other days. 100 is the due moment itself.
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
    """When the reply to a case is due that was accepted at `start`.

    A service's own budget goes before that of the kind; urgency can only bring the moment nearer.
    Raises UnknownCode and what `add_budget` raises.
    """
    return _nearest(
        [_add(pack, start, budget) for budget in _reply_budgets(pack, kind, service_code, urgent)]
    )


def rework_deadline(pack: Pack, kind: str, service_code: str, urgent: bool, start: dt.datetime) -> Deadline:
    """When the reply is due again for a case sent back for rework (重办) at `start`.

    The kind's share of the first budget, in whole hours or days, rounded up; of an urgent case the nearer one
    of the two, as at first. It is not less than the kind's minimum for a rework, unless that is more than the
    whole first budget, which is then given anew: a danger that had two hours does not get a working day.
    Raises UnknownCode and what `add_budget` raises.
    """
    rework = pack.kind(kind).rework
    budgets = _reply_budgets(pack, kind, service_code, urgent)
    share = _nearest(
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
    return _nearest([*(_add(pack, start, budget) for budget in budgets), minimum])


def clock_deadline(pack: Pack, clock: str, urgent: bool, start: dt.datetime) -> Deadline:
    """When a clock of the procedure runs out, such as `sign` (签收). Raises UnknownCode."""
    return _add(pack, start, clock_budget(pack, clock, urgent))


def clock_budget(pack: Pack, clock: str, urgent: bool) -> Budget:
    """How long a clock of the procedure runs, and by which day count. Raises UnknownCode."""
    rules = pack.clock(clock)
    return (urgent and rules.urgent) or rules.normal


def _reply_budgets(pack: Pack, kind: str, service_code: str, urgent: bool) -> list[Budget]:
    """The budgets for a reply, of which the one counts that ends first."""
    rules = pack.kind(kind)
    ordinary = pack.service(service_code).due or rules.reply
    return [rules.urgent_reply, ordinary] if urgent else [ordinary]


def _nearest(deadlines: list[Deadline]) -> Deadline:
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
    return zero, calendar.closes[calendar.position(last)]


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
    """The same day `count` months later, or the last day of that month if it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return dt.date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def _duty(hours: int | float) -> int:
    return round(hours * MICROSECONDS_AN_HOUR)


def _after_duty(calendar: WorkCalendar, start: dt.datetime, duty: int) -> dt.datetime:
    """The moment when `duty` microseconds of duty time have passed since `start`."""
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
