"""What a timer does to a case when it fires. A timer of an earlier round or state does nothing."""

import datetime as dt
from dataclasses import replace

from services.inquiry.domain.case import Case, CaseDecision, TimelineStep
from services.inquiry.domain.decisions import clock_timer, close_unevaluated
from services.inquiry.domain.states import Stage
from shared.contracts.inquiry import DeadlineBreached, DeadlineWarned
from shared.decision import PendingEvent
from shared.policy.model import Pack


def mark_reached(case: Case, pack: Pack, cycle: int, percent: int) -> CaseDecision:
    """`percent` of the reply budget is used (预警). Schedules the next mark, or the deadline check."""
    if not _on_the_clock(case, cycle) or case.clock is None:
        return CaseDecision(case)
    due = case.clock.due
    return CaseDecision(
        case,
        (PendingEvent(DeadlineWarned(percent=percent, due=due, cycle=cycle)),),
        (clock_timer(case, pack, after=percent),),
    )


def reply_due(case: Case, cycle: int) -> CaseDecision:
    """There was no reply in time (超期): breached, once per round."""
    if not _on_the_clock(case, cycle) or case.clock is None or case.breached:
        return CaseDecision(case)
    due = case.clock.due
    return CaseDecision(
        replace(case, breached=True),
        (PendingEvent(DeadlineBreached(due=due, cycle=cycle)),),
        steps=(TimelineStep("deadline_breached", {"due": due.isoformat()}),),
    )


def evaluation_ends(case: Case, cycle: int, now: dt.datetime) -> CaseDecision:
    """The evaluation window is over: a case that still waits for an evaluation is closed without one."""
    if case.stage is not Stage.REPLIED or case.cycle != cycle:
        return CaseDecision(case)
    return close_unevaluated(case, now)


def _on_the_clock(case: Case, cycle: int) -> bool:
    return case.stage is Stage.ACCEPTED and case.cycle == cycle
