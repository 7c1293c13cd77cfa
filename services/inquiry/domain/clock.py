"""The reply clock (答复时限): set by the rules of the pack, recomputable and explained step by step."""

import datetime as dt
from dataclasses import dataclass

from shared.contracts import inquiry as contract
from shared.contracts.inquiry import CaseKind
from shared.policy.deadlines import Deadline, at_percent, deadline_for, rework_deadline
from shared.policy.explain import ExplanationStep, explain
from shared.policy.model import Pack
from shared.policy.tables import DayCount


@dataclass(frozen=True, slots=True)
class ReplyClock:
    """`amount` in units of `day_count`, counted from `start`; `day_zero` is the local day not counted."""

    start: dt.datetime
    due: dt.datetime
    day_zero: dt.date
    amount: int
    day_count: str

    def stated(self, pack: Pack) -> contract.Deadline:
        """The deadline as events give it: day zero is the local midnight at which that day begins."""
        midnight = dt.datetime.combine(self.day_zero, dt.time(), pack.calendar.tz)
        return contract.Deadline(
            due=self.due, day_zero=midnight, amount=self.amount, day_count=self.day_count
        )

    def explained(self, pack: Pack) -> list[ExplanationStep]:
        """The steps that lead to `due`; `pack` is the version that the case was accepted under."""
        return explain(pack.calendar, self._deadline())

    def next_mark(self, pack: Pack, kind: CaseKind, after: int) -> tuple[int, dt.datetime] | None:
        """The next percentage above `after` at which the pack warns (预警), and when it is reached."""
        following = [percent for percent in pack.kind(kind).warn.percents if percent > after]
        if not following:
            return None
        percent = min(following)
        return percent, at_percent(pack.calendar, self._deadline(), percent)

    def _deadline(self) -> Deadline:
        return Deadline(self.start, self.amount, DayCount(self.day_count), self.day_zero, self.due)


def first_clock(pack: Pack, kind: str, service_code: str, urgent: bool, start: dt.datetime) -> ReplyClock:
    """The clock of a case accepted at `start`. Raises UnknownCode and CalendarRange."""
    return _clock(deadline_for(pack, kind, service_code, urgent, start))


def rework_clock(pack: Pack, kind: str, service_code: str, urgent: bool, start: dt.datetime) -> ReplyClock:
    """The clock of a case reopened for rework (重办) at `start`, with the pack's share of the first budget.

    Raises UnknownCode and CalendarRange.
    """
    return _clock(rework_deadline(pack, kind, service_code, urgent, start))


def _clock(deadline: Deadline) -> ReplyClock:
    if deadline.amount != int(deadline.amount):
        raise ValueError(
            f"a reply budget of {deadline.amount} does not fit into events: they hold whole numbers"
        )
    return ReplyClock(
        deadline.start, deadline.due, deadline.day_zero, int(deadline.amount), str(deadline.day_count)
    )
