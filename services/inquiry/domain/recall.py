"""The case after a fact that inquiry itself had stated, for tables that have forgotten it. Pure.

The same as what the decision behind the fact had done, but for its events, which are on the topic already.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from services.inquiry.domain.case import Case, CaseDecision, TimelineStep
from services.inquiry.domain.clock import ReplyClock
from services.inquiry.domain.decisions import clock_timer
from services.inquiry.domain.states import Stage
from shared.contracts.base import EventData
from shared.contracts.inquiry import (
    BreachWithdrawn,
    Deadline,
    DeadlineBreached,
    DeadlineWarned,
    Evaluation,
    InquiryAccepted,
    InquiryClosed,
    InquiryErased,
    InquiryReceived,
    InquiryReopened,
    InquiryReplied,
)
from shared.decision import TimerSpec
from shared.policy.model import Pack

_REPLY_TIMERS = ("reply_mark", "reply_due")


class Fact(NamedTuple):
    """A fact with its event's time and policy version, and the text of a person that came with it."""

    data: Any
    at: dt.datetime
    version: str | None
    text: str | None


def recall(case: Case, fact: Fact, pack: Pack) -> CaseDecision | None:
    """The case, timers and timeline after the fact; None for a type that changes no case."""
    handler = _RECALL.get(type(fact.data))
    return None if handler is None else handler(case, fact, pack)


def _received(case: Case, fact: Fact, pack: Pack) -> CaseDecision:
    data: InquiryReceived = fact.data
    begun = replace(
        case, stage=Stage.RECEIVED, kind=data.kind, service_code=data.service_code, urgent=data.urgent
    )
    if data.deadline is None:
        return CaseDecision(begun)
    accepted = replace(
        begun,
        stage=Stage.ACCEPTED,
        policy_version=fact.version,
        clock=_clock(data.deadline, fact.at, pack),
    )
    return CaseDecision(accepted, timers=(clock_timer(accepted, pack, after=0),))


def _accepted(case: Case, fact: Fact, pack: Pack) -> CaseDecision:
    clock = _clock(fact.data.deadline, fact.at, pack)
    accepted = replace(case, stage=Stage.ACCEPTED, clock=clock, policy_version=fact.version)
    step = TimelineStep("accepted", {"due": clock.due.isoformat()})
    return CaseDecision(accepted, timers=(clock_timer(accepted, pack, after=0),), steps=(step,))


def _warned(case: Case, fact: Fact, pack: Pack) -> CaseDecision:
    return CaseDecision(case, timers=(clock_timer(case, pack, after=fact.data.percent),))


def _breached(case: Case, fact: Fact, _: Pack) -> CaseDecision:
    step = TimelineStep("deadline_breached", {"due": fact.data.due.isoformat()})
    return CaseDecision(replace(case, breached=True), cancelled=_REPLY_TIMERS, steps=(step,))


def _withdrawn(case: Case, fact: Fact, _: Pack) -> CaseDecision:
    step = TimelineStep("breach_withdrawn", {"due": fact.data.due.isoformat()})
    return CaseDecision(replace(case, breached=False), steps=(step,))


def _replied(case: Case, fact: Fact, _: Pack) -> CaseDecision:
    data: InquiryReplied = fact.data
    shown = {"unit": data.unit, "outcome": data.outcome, "on_time": data.on_time, "cycle": data.cycle}
    return CaseDecision(
        replace(case, stage=Stage.REPLIED, breached=not data.on_time, evaluate_until=data.evaluate_until),
        timers=(
            TimerSpec("evaluation_ends", data.evaluate_until, {"cycle": data.cycle}, is_deadline_check=True),
        ),
        cancelled=_REPLY_TIMERS,
        steps=(TimelineStep("replied", shown, fact.text),),
    )


def _closed(case: Case, fact: Fact, _: Pack) -> CaseDecision:
    data: InquiryClosed = fact.data
    step = TimelineStep("closed", {"outcome": data.outcome, **_ratings(data.evaluation)}, fact.text)
    after = replace(case, stage=Stage.CLOSED, evaluate_until=None, closed_at=fact.at)
    return CaseDecision(after, cancelled=("evaluation_ends",), steps=(step,))


def _reopened(case: Case, fact: Fact, pack: Pack) -> CaseDecision:
    data: InquiryReopened = fact.data
    reopened = replace(
        case,
        stage=Stage.ACCEPTED,
        cycle=data.cycle,
        clock=_clock(data.deadline, fact.at, pack),
        breached=False,
        evaluate_until=None,
        closed_at=None,
    )
    shown = {"cycle": data.cycle, "due": data.deadline.due.isoformat(), **_ratings(data.evaluation)}
    return CaseDecision(
        reopened,
        timers=(clock_timer(reopened, pack, after=0),),
        cancelled=("evaluation_ends",),
        steps=(TimelineStep("reopened", shown, fact.text),),
    )


def _erased(case: Case, fact: Fact, _: Pack) -> CaseDecision:
    after = replace(case, stage=Stage.CLOSED, erased_at=fact.at, closed_at=case.closed_at or fact.at)
    step = TimelineStep("erased", {"basis": fact.data.basis})
    return CaseDecision(after, cancelled=(*_REPLY_TIMERS, "evaluation_ends"), steps=(step,))


def _clock(deadline: Deadline, start: dt.datetime, pack: Pack) -> ReplyClock:
    day_zero = deadline.day_zero.astimezone(pack.calendar.tz).date()
    return ReplyClock(start, deadline.due, day_zero, deadline.amount, deadline.day_count)


def _ratings(evaluation: Evaluation | None) -> dict[str, object]:
    return evaluation.model_dump(exclude_none=True) if evaluation else {}


_RECALL: Mapping[type[EventData], Callable[[Case, Fact, Pack], CaseDecision]] = {
    InquiryReceived: _received,
    InquiryAccepted: _accepted,
    DeadlineWarned: _warned,
    DeadlineBreached: _breached,
    BreachWithdrawn: _withdrawn,
    InquiryReplied: _replied,
    InquiryClosed: _closed,
    InquiryReopened: _reopened,
    InquiryErased: _erased,
}
