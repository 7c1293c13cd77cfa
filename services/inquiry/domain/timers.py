"""What a timer means for a case when it fires. One of an earlier round or state: nothing."""

from dataclasses import replace

from services.inquiry.domain.case import Case, Decision, Said, Step
from services.inquiry.domain.decisions import clock_timer
from services.inquiry.domain.states import Stage
from shared.contracts.inquiry import DeadlineBreached, DeadlineWarned
from shared.policy.model import Pack


def mark_reached(case: Case, pack: Pack, cycle: int, percent: int) -> Decision:
    """`percent` of the reply budget is used (预警); the next mark, or the judgement, is armed."""
    if not _on_the_clock(case, cycle) or case.clock is None:
        return Decision(case)
    due = case.clock.due
    return Decision(
        case,
        (Said(DeadlineWarned(percent=percent, due=due, cycle=cycle)),),
        alarms=(clock_timer(case, pack, after=percent),),
    )


def reply_due(case: Case, cycle: int) -> Decision:
    """No reply in time (超期), said once per round."""
    if not _on_the_clock(case, cycle) or case.clock is None or case.breached:
        return Decision(case)
    due = case.clock.due
    return Decision(
        replace(case, breached=True),
        (Said(DeadlineBreached(due=due, cycle=cycle)),),
        (Step("deadline_breached", {"due": due.isoformat()}),),
    )


def evaluation_is_open(case: Case, cycle: int) -> bool:
    """Whether the end of the evaluation window closes the case."""
    return case.stage is Stage.REPLIED and case.cycle == cycle


def _on_the_clock(case: Case, cycle: int) -> bool:
    return case.stage is Stage.ACCEPTED and case.cycle == cycle
