"""What is asked of a case, decided: a Decision, or a Refusal with state and rule; and who may ask what."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

from services.inquiry.domain.case import (
    Alarm,
    Case,
    Decision,
    Refusal,
    Said,
    Step,
    refuse,
    refused_by_state,
)
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
from shared.policy.deadlines import add_budget
from shared.policy.model import Pack

Basis = Literal["citizen_request", "retention", "court_order"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """The lead's reply as routing proposes it. `acted`: when the unit's act reached us, which is judged."""

    unit: str
    outcome: ReplyOutcome
    text: str | None
    acted: dt.datetime


def accept(case: Case, pack: Pack, now: dt.datetime) -> Decision | Refusal:
    """A clerk accepts (受理). The case keeps this version of the pack, and its reply clock starts."""
    if refusal := refused_by_state(case, Command.ACCEPT):
        return refusal
    kind, service_code = _known(case)
    clock = first_clock(pack, kind, service_code, case.urgent, now)
    accepted = replace(case, stage=Stage.ACCEPTED, clock=clock, policy_version=pack.version)
    return Decision(
        accepted,
        (Said(InquiryAccepted(deadline=clock.stated(pack))),),
        (Step("accepted", {"due": clock.due.isoformat()}),),
        (clock_timer(accepted, pack, after=0),),
    )


def propose_reply(case: Case, pack: Pack, proposal: Proposal, now: dt.datetime) -> Decision | Refusal:
    """The lead's reply becomes the government's (答复).

    In time is what was done by the due moment, however late it arrives: a breach judged meanwhile is
    withdrawn. A late reply that comes before the judgement brings the judgement with it.
    """
    if refusal := refused_by_state(case, Command.REPLY):
        return refusal
    if proposal.unit != case.lead:
        return refuse(case, "the_lead_replies")
    kind, clock = _known(case)[0], _running(case)
    on_time = proposal.acted <= clock.due
    until = add_budget(
        pack.calendar, now, pack.kind(kind).evaluation.amount, pack.kind(kind).evaluation.day_count
    ).due
    said: list[Said] = []
    steps: list[Step] = []
    if on_time and case.breached:
        said.append(Said(BreachWithdrawn(due=clock.due, replied_at=proposal.acted, cycle=case.cycle)))
        steps.append(Step("breach_withdrawn", {"due": clock.due.isoformat()}))
    elif not on_time and not case.breached:
        said.append(Said(DeadlineBreached(due=clock.due, cycle=case.cycle)))
        steps.append(Step("deadline_breached", {"due": clock.due.isoformat()}))
    replied = InquiryReplied(
        unit=proposal.unit,
        outcome=proposal.outcome,
        cycle=case.cycle,
        on_time=on_time,
        evaluate_until=until,
    )
    said.append(Said(replied, ReplyWords(text=proposal.text) if proposal.text else None))
    steps.append(
        Step(
            "replied",
            {"unit": proposal.unit, "outcome": proposal.outcome, "on_time": on_time, "cycle": case.cycle},
            proposal.text,
        )
    )
    return Decision(
        replace(case, stage=Stage.REPLIED, breached=not on_time, evaluate_until=until),
        tuple(said),
        tuple(steps),
        (Alarm("evaluation_ends", until, {"cycle": case.cycle}, is_deadline_check=True),),
        ("reply_mark", "reply_due"),
    )


def evaluate(
    case: Case, pack: Pack, evaluation: Evaluation, comment: str | None, now: dt.datetime
) -> Decision | Refusal:
    """The citizen evaluates (评价): solved or partly closes the case, not solved reopens it while the pack
    leaves a rework, else it is closed as unsolved."""
    if refusal := refused_by_state(case, Command.EVALUATE):
        return refusal
    if case.evaluate_until is not None and now > case.evaluate_until:
        return refuse(case, "evaluate_within_the_window")
    if evaluation.solved == "no" and _reworks_left(case, pack) > 0:
        return _again(case, pack, evaluation, comment, now)
    outcome: Literal["unsolved", "evaluated"] = "unsolved" if evaluation.solved == "no" else "evaluated"
    return _closed(case, outcome, now, evaluation, comment)


def reopen(case: Case, pack: Pack, comment: str | None, now: dt.datetime) -> Decision | Refusal:
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
    return _again(case, pack, None, comment, now)


def reopen_until(case: Case, pack: Pack) -> dt.datetime:
    """The last moment at which a closed case can be reopened. Raises ValueError if it is not closed."""
    if case.closed_at is None:
        raise ValueError(f"{case.id} is not closed")
    window = pack.kind(_known(case)[0]).reopen
    return add_budget(pack.calendar, case.closed_at, window.amount, window.day_count).due


def erase(case: Case, basis: Basis, now: dt.datetime) -> Decision | Refusal:
    """The words and contacts go, and with them what could be worked on: the case ends, its clocks stop."""
    if refusal := refused_by_state(case, Command.ERASE):
        return refusal
    if case.erased_at is not None:
        return refuse(case, "erased_already")
    return Decision(
        replace(case, stage=Stage.CLOSED, erased_at=now, closed_at=case.closed_at or now),
        (Said(InquiryErased(basis=basis)),),
        (Step("erased", {"basis": basis}),),
        silenced=("reply_mark", "reply_due", "evaluation_ends"),
    )


def open_to_the_citizen(case: Case, pack: Pack, now: dt.datetime) -> list[str]:
    """What the citizen can do now, by the very rules that would decide it."""
    tries = {
        Command.EVALUATE: evaluate(case, pack, Evaluation(solved="partly", rating=3), None, now),
        Command.REOPEN: reopen(case, pack, None, now),
        Command.ERASE: erase(case, "citizen_request", now),
    }
    return [command.value for command, tried in tries.items() if isinstance(tried, Decision)]


def open_to_staff(case: Case, now: dt.datetime) -> list[str]:
    """What clerks and oversight can do now."""
    tries = {
        Command.ACCEPT: refused_by_state(case, Command.ACCEPT),
        Command.ERASE: erase(case, "court_order", now),
    }
    return [command.value for command, tried in tries.items() if not isinstance(tried, Refusal)]


def close_unevaluated(case: Case, now: dt.datetime) -> Decision:
    """Nobody evaluated in the window: closed, counted apart, never as satisfied."""
    return _closed(case, "no_evaluation", now, None, None)


def clock_timer(case: Case, pack: Pack, after: int) -> Alarm:
    """The next alarm of the reply clock: the next mark above `after` percent, at the end the judgement."""
    clock = _running(case)
    mark = clock.next_mark(pack, _known(case)[0], after)
    if mark is None:
        return Alarm("reply_due", clock.due, {"cycle": case.cycle}, is_deadline_check=True)
    percent, at = mark
    return Alarm("reply_mark", at, {"cycle": case.cycle, "percent": percent})


def _again(
    case: Case, pack: Pack, evaluation: Evaluation | None, comment: str | None, now: dt.datetime
) -> Decision:
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
    facts = InquiryReopened(cycle=reopened.cycle, deadline=clock.stated(pack), evaluation=evaluation)
    step = Step(
        "reopened", {"cycle": reopened.cycle, "due": clock.due.isoformat(), **_rated(evaluation)}, comment
    )
    return Decision(
        reopened,
        (Said(facts, NoteWords(text=comment) if comment else None),),
        (step,),
        (clock_timer(reopened, pack, after=0),),
        ("evaluation_ends",),
    )


def _closed(
    case: Case,
    outcome: Literal["evaluated", "unsolved", "no_evaluation"],
    now: dt.datetime,
    evaluation: Evaluation | None,
    comment: str | None,
) -> Decision:
    facts = InquiryClosed(outcome=outcome, cycle=case.cycle, evaluation=evaluation)
    return Decision(
        replace(case, stage=Stage.CLOSED, evaluate_until=None, closed_at=now),
        (Said(facts, NoteWords(text=comment) if comment else None),),
        (Step("closed", {"outcome": outcome, **_rated(evaluation)}, comment),),
        silenced=("evaluation_ends",),
    )


def _rated(evaluation: Evaluation | None) -> dict[str, object]:
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
