"""The decisions about one case: each carries out a command, or refuses it with state and rule."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

from services.inquiry.domain.case import Case, CaseDecision, TimelineStep, refuse, refused_by_state
from services.inquiry.domain.clock import ReplyClock, first_clock, rework_clock
from services.inquiry.domain.states import Command, Stage
from shared.contracts.inquiry import (
    BreachWithdrawn,
    CaseKind,
    DeadlineBreached,
    Evaluation,
    InquiryAccepted,
    InquiryClosed,
    InquiryErased,
    InquiryReopened,
    InquiryReplied,
    NoteWords,
    ReplyOutcome,
    ReplyWords,
)
from shared.decision import PendingEvent, Refusal, TimerSpec
from shared.policy.deadlines import add_budget
from shared.policy.model import Pack

Basis = Literal["citizen_request", "retention", "court_order"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The lead's reply as routing proposes it.

    `acted` is when the unit's own act reached us: the deadline is compared with it. `text` is None once the
    words are erased.
    """

    unit: str
    outcome: ReplyOutcome
    text: str | None
    acted: dt.datetime


def accept(case: Case, pack: Pack, now: dt.datetime) -> CaseDecision | Refusal:
    """A clerk accepts (受理). The case keeps this version of the pack, and its reply clock starts.

    Raises UnknownCode and CalendarRange.
    """
    if refusal := refused_by_state(case, Command.ACCEPT):
        return refusal
    kind, service_code = _known(case)
    clock = first_clock(pack, kind, service_code, case.urgent, now)
    accepted = replace(case, stage=Stage.ACCEPTED, clock=clock, policy_version=pack.version)
    return CaseDecision(
        accepted,
        events=(PendingEvent(InquiryAccepted(deadline=clock.stated(pack))),),
        timers=(clock_timer(accepted, pack, after=0),),
        steps=(TimelineStep("accepted", {"due": clock.due.isoformat()}),),
    )


def propose_reply(case: Case, pack: Pack, proposal: Proposal, now: dt.datetime) -> CaseDecision | Refusal:
    """The lead's reply becomes the government's (答复).

    A reply given by the due time is on time, however late it arrives: a breach recorded in between is
    withdrawn. A late reply that arrives before the deadline check records the breach itself.
    """
    if refusal := refused_by_state(case, Command.REPLY):
        return refusal
    if proposal.unit != case.lead:
        return refuse(case, "the_lead_replies")
    kind, clock = _known(case)[0], _running(case)
    on_time = proposal.acted <= clock.due
    window = pack.kind(kind).evaluation
    until = add_budget(pack.calendar, now, window.amount, window.day_count).due
    events: list[PendingEvent] = []
    steps: list[TimelineStep] = []
    if on_time and case.breached:
        withdrawn = BreachWithdrawn(due=clock.due, replied_at=proposal.acted, cycle=case.cycle)
        events.append(PendingEvent(withdrawn))
        steps.append(TimelineStep("breach_withdrawn", {"due": clock.due.isoformat()}))
    elif not on_time and not case.breached:
        events.append(PendingEvent(DeadlineBreached(due=clock.due, cycle=case.cycle)))
        steps.append(TimelineStep("deadline_breached", {"due": clock.due.isoformat()}))
    replied = InquiryReplied(
        unit=proposal.unit,
        outcome=proposal.outcome,
        cycle=case.cycle,
        on_time=on_time,
        evaluate_until=until,
    )
    events.append(PendingEvent(replied, ReplyWords(text=proposal.text) if proposal.text else None))
    shown = {"unit": proposal.unit, "outcome": proposal.outcome, "on_time": on_time, "cycle": case.cycle}
    steps.append(TimelineStep("replied", shown, proposal.text))
    return CaseDecision(
        replace(case, stage=Stage.REPLIED, breached=not on_time, evaluate_until=until),
        tuple(events),
        timers=(TimerSpec("evaluation_ends", until, {"cycle": case.cycle}, is_deadline_check=True),),
        cancelled=("reply_mark", "reply_due"),
        steps=tuple(steps),
    )


def evaluate(
    case: Case, pack: Pack, evaluation: Evaluation, comment: str | None, now: dt.datetime
) -> CaseDecision | Refusal:
    """The citizen evaluates (评价).

    Solved or partly solved closes the case. Not solved reopens it while the pack leaves a rework; after the
    last one it is closed as unsolved.
    """
    if refusal := refused_by_state(case, Command.EVALUATE):
        return refusal
    if case.evaluate_until is not None and now > case.evaluate_until:
        return refuse(case, "evaluate_within_the_window")
    if evaluation.solved == "no" and _reworks_left(case, pack) > 0:
        return _reopened(case, pack, evaluation, comment, now)
    outcome: Literal["unsolved", "evaluated"] = "unsolved" if evaluation.solved == "no" else "evaluated"
    return _closed(case, outcome, now, evaluation, comment)


def reopen(case: Case, pack: Pack, comment: str | None, now: dt.datetime) -> CaseDecision | Refusal:
    """The citizen asks for a new round (重办): in the window after closing, while a rework is left."""
    if refusal := refused_by_state(case, Command.REOPEN):
        return refusal
    if case.erased_at is not None:
        return refuse(case, "an_erased_case_stays_closed")
    kind = pack.kind(_known(case)[0])
    if case.closed_at is None or now > reopen_until(case, pack):
        return refuse(case, "reopen_within_the_window")
    if _reworks_left(case, pack) <= 0:
        return refuse(case, f"at_most_{kind.rework.maximum}_reworks")
    return _reopened(case, pack, None, comment, now)


def reopen_until(case: Case, pack: Pack) -> dt.datetime:
    """The last moment at which a closed case can be reopened. Raises ValueError if it is not closed."""
    if case.closed_at is None:
        raise ValueError(f"{case.id} is not closed")
    window = pack.kind(_known(case)[0]).reopen
    return add_budget(pack.calendar, case.closed_at, window.amount, window.day_count).due


def erase(case: Case, basis: Basis, now: dt.datetime) -> CaseDecision | Refusal:
    """Words and contact are erased. Nothing is left to work on, so the case closes and its timers stop."""
    if refusal := refused_by_state(case, Command.ERASE):
        return refusal
    if case.erased_at is not None:
        return refuse(case, "erased_already")
    return CaseDecision(
        replace(case, stage=Stage.CLOSED, erased_at=now, closed_at=case.closed_at or now),
        events=(PendingEvent(InquiryErased(basis=basis)),),
        cancelled=("reply_mark", "reply_due", "evaluation_ends"),
        steps=(TimelineStep("erased", {"basis": basis}),),
    )


def close_unevaluated(case: Case, now: dt.datetime) -> CaseDecision:
    """No evaluation came in the window: closed, and counted separately, never as satisfied."""
    return _closed(case, "no_evaluation", now, None, None)


def allowed_to_citizen(case: Case, pack: Pack, now: dt.datetime) -> list[str]:
    """The commands that the citizen can give now, found by trying the decisions themselves."""
    tries = {
        Command.EVALUATE: evaluate(case, pack, Evaluation(solved="partly", rating=3), None, now),
        Command.REOPEN: reopen(case, pack, None, now),
        Command.ERASE: erase(case, "citizen_request", now),
    }
    return [command.value for command, tried in tries.items() if not isinstance(tried, Refusal)]


def allowed_to_staff(case: Case, now: dt.datetime) -> list[str]:
    """The commands that clerks and oversight can give now."""
    tries = {
        Command.ACCEPT: refused_by_state(case, Command.ACCEPT),
        Command.ERASE: erase(case, "court_order", now),
    }
    return [command.value for command, tried in tries.items() if not isinstance(tried, Refusal)]


def clock_timer(case: Case, pack: Pack, after: int) -> TimerSpec:
    """The next timer of the reply clock: the first mark above `after` percent, at the end the deadline check.

    Raises ValueError if the case has no kind or no running clock.
    """
    clock = _running(case)
    mark = clock.next_mark(pack, _known(case)[0], after)
    if mark is None:
        return TimerSpec("reply_due", clock.due, {"cycle": case.cycle}, is_deadline_check=True)
    percent, at = mark
    return TimerSpec("reply_mark", at, {"cycle": case.cycle, "percent": percent})


def _reopened(
    case: Case, pack: Pack, evaluation: Evaluation | None, comment: str | None, now: dt.datetime
) -> CaseDecision:
    kind, service_code = _known(case)
    clock = rework_clock(pack, kind, service_code, case.urgent, now)
    reopened = replace(
        case,
        stage=Stage.ACCEPTED,
        cycle=case.cycle + 1,
        clock=clock,
        breached=False,
        evaluate_until=None,
        closed_at=None,
    )
    data = InquiryReopened(cycle=reopened.cycle, deadline=clock.stated(pack), evaluation=evaluation)
    shown = {"cycle": reopened.cycle, "due": clock.due.isoformat(), **_ratings(evaluation)}
    return CaseDecision(
        reopened,
        events=(PendingEvent(data, NoteWords(text=comment) if comment else None),),
        timers=(clock_timer(reopened, pack, after=0),),
        cancelled=("evaluation_ends",),
        steps=(TimelineStep("reopened", shown, comment),),
    )


def _closed(
    case: Case,
    outcome: Literal["evaluated", "unsolved", "no_evaluation"],
    now: dt.datetime,
    evaluation: Evaluation | None,
    comment: str | None,
) -> CaseDecision:
    data = InquiryClosed(outcome=outcome, cycle=case.cycle, evaluation=evaluation)
    return CaseDecision(
        replace(case, stage=Stage.CLOSED, evaluate_until=None, closed_at=now),
        events=(PendingEvent(data, NoteWords(text=comment) if comment else None),),
        cancelled=("evaluation_ends",),
        steps=(TimelineStep("closed", {"outcome": outcome, **_ratings(evaluation)}, comment),),
    )


def _ratings(evaluation: Evaluation | None) -> dict[str, object]:
    return evaluation.model_dump(exclude_none=True) if evaluation else {}


def _reworks_left(case: Case, pack: Pack) -> int:
    return pack.kind(_known(case)[0]).rework.maximum - (case.cycle - 1)


def _known(case: Case) -> tuple[CaseKind, str]:
    if case.kind is None or case.service_code is None:
        raise ValueError(f"{case.id} is {case.state}: it has no kind yet")
    return case.kind, case.service_code


def _running(case: Case) -> ReplyClock:
    if case.clock is None:
        raise ValueError(f"{case.id} is {case.state}: it has no reply clock")
    return case.clock
