"""Each decision in full: the case after it, its events, its timers, and the lines of the timeline."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from services.inquiry.domain.case import Case, CaseDecision, TimelineStep, refused_by_state
from services.inquiry.domain.clock import rework_clock
from services.inquiry.domain.decisions import (
    Proposal,
    accept,
    close_unevaluated,
    erase,
    evaluate,
    propose_reply,
    reopen,
    reopen_until,
)
from services.inquiry.domain.facts import Fact, absorb
from services.inquiry.domain.states import Command, Holding, RoutingFact, Stage, State
from services.inquiry.domain.timers import evaluation_ends, mark_reached, reply_due
from shared.contracts.inquiry import (
    BreachWithdrawn,
    DeadlineBreached,
    DeadlineWarned,
    Evaluation,
    InquiryAccepted,
    InquiryClosed,
    InquiryErased,
    InquiryReopened,
    InquiryReplied,
    NoteWords,
    ReplyWords,
)
from shared.contracts.routing import AssignmentReturned, AssignmentSigned, CaseDispatched, CaseTriaged
from shared.decision import PendingEvent, Refusal, TimerSpec
from shared.policy.deadlines import at_percent
from shared.policy.model import Pack
from tests.unit.services.inquiry.conftest import LEAD, NOW

Cases = dict[State, Case]
SECOND = dt.timedelta(seconds=1)
WINDOW = dt.datetime(
    2026, 11, 27, 15, 59, 59, tzinfo=dt.UTC
)  # three calendar days, until midnight in Shanghai
NO = Evaluation(solved="no", rating=1)


def first_mark(case: Case, pack: Pack) -> TimerSpec:
    assert case.clock is not None
    at = at_percent(pack.calendar, case.clock._deadline(), 50)
    return TimerSpec("reply_mark", at, {"cycle": case.cycle, "percent": 50})


def test_an_acceptance(cases: Cases, pack: Pack) -> None:
    decision = accept(cases[State.RECEIVED], pack, NOW)
    assert isinstance(decision, CaseDecision)
    clock = cases[State.ACCEPTED].clock
    assert clock is not None
    accepted = replace(cases[State.RECEIVED], stage=Stage.ACCEPTED, clock=clock, policy_version=pack.version)
    assert decision == CaseDecision(
        accepted,
        events=(PendingEvent(InquiryAccepted(deadline=clock.stated(pack))),),
        timers=(first_mark(accepted, pack),),
        steps=(TimelineStep("accepted", {"due": clock.due.isoformat()}),),
    )


@pytest.mark.parametrize(
    ("late", "breached", "before"),
    [
        (0 * SECOND, False, ""),
        (SECOND, True, ""),
        (0 * SECOND, True, "withdrawn"),
        (SECOND, False, "breached"),
    ],
)
def test_a_reply(cases: Cases, pack: Pack, late: dt.timedelta, breached: bool, before: str) -> None:
    case = replace(cases[State.IN_PROGRESS], breached=breached, cycle=2)
    assert case.clock is not None
    due, acted = case.clock.due, case.clock.due + late
    decision = propose_reply(case, pack, Proposal(LEAD, "solved", "好了", acted), NOW)
    on_time = not late
    first: dict[str, tuple[PendingEvent, TimelineStep]] = {
        "withdrawn": (
            PendingEvent(BreachWithdrawn(due=due, replied_at=acted, cycle=2)),
            TimelineStep("breach_withdrawn", {"due": due.isoformat()}),
        ),
        "breached": (
            PendingEvent(DeadlineBreached(due=due, cycle=2)),
            TimelineStep("deadline_breached", {"due": due.isoformat()}),
        ),
    }
    events, steps = ((first[before][0],), (first[before][1],)) if before else ((), ())
    replied = InquiryReplied(unit=LEAD, outcome="solved", cycle=2, on_time=on_time, evaluate_until=WINDOW)
    shown = {"unit": LEAD, "outcome": "solved", "on_time": on_time, "cycle": 2}
    assert decision == CaseDecision(
        replace(case, stage=Stage.REPLIED, breached=not on_time, evaluate_until=WINDOW),
        events=(*events, PendingEvent(replied, ReplyWords(text="好了"))),
        timers=(TimerSpec("evaluation_ends", WINDOW, {"cycle": 2}, is_deadline_check=True),),
        cancelled=("reply_mark", "reply_due"),
        steps=(*steps, TimelineStep("replied", shown, "好了")),
    )


def reopened(case: Case, pack: Pack, evaluation: Evaluation | None, comment: str | None) -> CaseDecision:
    clock = rework_clock(pack, "help", "municipal-street-light", case.urgent, NOW)
    after = replace(
        case,
        stage=Stage.ACCEPTED,
        cycle=case.cycle + 1,
        clock=clock,
        breached=False,
        evaluate_until=None,
        closed_at=None,
    )
    data = InquiryReopened(cycle=after.cycle, deadline=clock.stated(pack), evaluation=evaluation)
    ratings = evaluation.model_dump(exclude_none=True) if evaluation else {}
    return CaseDecision(
        after,
        events=(PendingEvent(data, NoteWords(text=comment) if comment else None),),
        timers=(first_mark(after, pack),),
        cancelled=("evaluation_ends",),
        steps=(
            TimelineStep(
                "reopened", {"cycle": after.cycle, "due": clock.due.isoformat(), **ratings}, comment
            ),
        ),
    )


@pytest.mark.parametrize("comment", ["还是不亮", None])
def test_a_new_round_after_an_evaluation(cases: Cases, pack: Pack, comment: str | None) -> None:
    case = replace(cases[State.REPLIED], breached=True)
    assert evaluate(case, pack, NO, comment, NOW) == reopened(case, pack, NO, comment)


@pytest.mark.parametrize("cycle", [1, 2])
def test_a_new_round_after_closing(cases: Cases, pack: Pack, cycle: int) -> None:
    case = replace(cases[State.CLOSED], cycle=cycle, breached=True)
    assert reopen(case, pack, "又不亮了", NOW) == reopened(case, pack, None, "又不亮了")


def test_the_window_for_a_new_round_ends_with_its_last_moment(cases: Cases, pack: Pack) -> None:
    case = cases[State.CLOSED]
    until = reopen_until(case, pack)
    assert isinstance(reopen(case, pack, "x", until), CaseDecision)
    assert reopen(case, pack, "x", until + SECOND) == Refusal(State.CLOSED, "reopen_within_the_window")
    unknown = replace(case, closed_at=None)
    assert reopen(unknown, pack, "x", NOW) == Refusal(State.CLOSED, "reopen_within_the_window")
    with pytest.raises(ValueError, match="is not closed"):
        reopen_until(unknown, pack)


def test_an_erased_case_has_no_new_round(cases: Cases, pack: Pack) -> None:
    erased = replace(cases[State.CLOSED], erased_at=NOW)
    assert reopen(erased, pack, "x", NOW) == Refusal(State.CLOSED, "an_erased_case_stays_closed")


@pytest.mark.parametrize(
    ("evaluation", "cycle", "outcome"),
    [
        (Evaluation(solved="yes", rating=5), 1, "evaluated"),
        (Evaluation(solved="partly", rating=3), 1, "evaluated"),
        (NO, 3, "unsolved"),  # no rework is left
    ],
)
def test_an_evaluation_that_closes(
    cases: Cases, pack: Pack, evaluation: Evaluation, cycle: int, outcome: str
) -> None:
    case = replace(cases[State.REPLIED], cycle=cycle)
    comment = "谢谢" if cycle == 1 else None
    decision = evaluate(case, pack, evaluation, comment, NOW)
    data = InquiryClosed.model_validate({"outcome": outcome, "cycle": cycle, "evaluation": evaluation})
    shown = {"outcome": outcome, **evaluation.model_dump(exclude_none=True)}
    assert decision == CaseDecision(
        replace(case, stage=Stage.CLOSED, evaluate_until=None, closed_at=NOW),
        events=(PendingEvent(data, NoteWords(text=comment) if comment else None),),
        cancelled=("evaluation_ends",),
        steps=(TimelineStep("closed", shown, comment),),
    )


def test_a_window_that_passes_without_an_evaluation(cases: Cases) -> None:
    case = cases[State.REPLIED]
    closed = CaseDecision(
        replace(case, stage=Stage.CLOSED, evaluate_until=None, closed_at=NOW),
        events=(PendingEvent(InquiryClosed(outcome="no_evaluation", cycle=1)),),
        cancelled=("evaluation_ends",),
        steps=(TimelineStep("closed", {"outcome": "no_evaluation"}),),
    )
    assert close_unevaluated(case, NOW) == evaluation_ends(case, 1, NOW) == closed
    assert evaluation_ends(case, 2, NOW) == CaseDecision(case)


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.CLOSED])
def test_an_erasure(cases: Cases, state: State) -> None:
    case = cases[state]
    later = NOW + SECOND
    assert erase(case, "retention", later) == CaseDecision(
        replace(case, stage=Stage.CLOSED, erased_at=later, closed_at=case.closed_at or later),
        events=(PendingEvent(InquiryErased(basis="retention")),),
        cancelled=("reply_mark", "reply_due", "evaluation_ends"),
        steps=(TimelineStep("erased", {"basis": "retention"}),),
    )
    erased = replace(case, stage=Stage.CLOSED, erased_at=NOW)
    assert erase(erased, "retention", NOW) == Refusal(State.CLOSED, "erased_already")


def test_only_the_lead_replies(cases: Cases, pack: Pack) -> None:
    refusal = propose_reply(cases[State.IN_PROGRESS], pack, Proposal("transport", "solved", "x", NOW), NOW)
    assert refusal == Refusal(State.IN_PROGRESS, "the_lead_replies")


def test_marks_and_the_end_of_the_reply_clock(cases: Cases, pack: Pack) -> None:
    case = replace(cases[State.IN_PROGRESS], holding=Holding.SIGNED, cycle=2)
    assert case.clock is not None
    due = case.clock.due
    assert mark_reached(case, pack, 2, 100) == CaseDecision(
        case,
        events=(PendingEvent(DeadlineWarned(percent=100, due=due, cycle=2)),),
        timers=(TimerSpec("reply_due", due, {"cycle": 2}, is_deadline_check=True),),
    )
    assert reply_due(case, 2) == CaseDecision(
        replace(case, breached=True),
        events=(PendingEvent(DeadlineBreached(due=due, cycle=2)),),
        steps=(TimelineStep("deadline_breached", {"due": due.isoformat()}),),
    )
    without = replace(case, clock=None)
    assert mark_reached(without, pack, 2, 50) == reply_due(without, 2) == CaseDecision(without)


def with_marks(pack: Pack, *percents: int) -> Pack:
    contents = pack.model_dump(mode="json")
    for kind in contents["kinds"]:
        kind["warn"]["percents"] = percents
    return Pack.of(contents)


def test_a_mark_at_the_first_percent_counts_in_every_round(cases: Cases, pack: Pack) -> None:
    early = with_marks(pack, 1)
    for decision in (
        accept(cases[State.RECEIVED], early, NOW),
        reopen(cases[State.CLOSED], early, None, NOW),
    ):
        assert isinstance(decision, CaseDecision)
        (timer,) = decision.timers
        assert (timer.kind, timer.data["percent"]) == ("reply_mark", 1)


@pytest.mark.parametrize("changes", [{"kind": None}, {"service_code": None}])
def test_a_case_without_kind_or_service_has_no_clock(
    cases: Cases, pack: Pack, changes: dict[str, None]
) -> None:
    with pytest.raises(ValueError, match="it has no kind yet"):
        accept(replace(cases[State.RECEIVED], **changes), pack, NOW)


def test_commands_and_facts_are_called_as_they_are_published() -> None:
    for enumeration in (Command, RoutingFact, Holding, Stage, State):
        assert [one.value for one in enumeration] == [one.name.lower() for one in enumeration]


@pytest.mark.parametrize(
    ("command", "rule"),
    [
        (Command.ACCEPT, "accepted_once_from_received"),
        (Command.REPLY, "reply_to_a_dispatched_case"),
        (Command.EVALUATE, "evaluate_after_the_reply"),
        (Command.REOPEN, "reopen_after_closing"),
        (Command.ERASE, "erase_a_known_case"),
    ],
)
def test_a_refusal_by_the_state_has_a_name_that_clients_know(
    cases: Cases, command: Command, rule: str
) -> None:
    unknown = cases[State.UNKNOWN]
    assert refused_by_state(unknown, command) == Refusal("unknown", rule)


@pytest.mark.parametrize(
    ("fact", "changes", "step"),
    [
        (
            CaseDispatched(lead="housing", co=("roads", "water"), rule="r-2", attempt=2),
            {"holding": Holding.DISPATCHED, "lead": "housing", "co": ("roads", "water"), "attempt": 2},
            TimelineStep("dispatched", {"lead": "housing", "co": ["roads", "water"], "attempt": 2}),
        ),
        (
            CaseTriaged(reason="no_rule", attempt=2),
            {"holding": Holding.NONE, "lead": None, "attempt": 2},
            TimelineStep("triaged", {"reason": "no_rule"}),
        ),
        (
            AssignmentSigned(unit="housing", role="lead", action="a"),
            {"holding": Holding.SIGNED, "lead": "housing"},
            TimelineStep("signed", {"unit": "housing", "role": "lead"}),
        ),
        (
            AssignmentSigned(unit="transport", role="co", action="a"),
            {},
            TimelineStep("signed", {"unit": "transport", "role": "co"}),
        ),
        (
            AssignmentReturned(unit=LEAD, role="lead", reason="not_our_duty", action="a"),
            {"holding": Holding.NONE, "lead": None},
            TimelineStep("returned", {"unit": LEAD, "role": "lead", "reason": "not_our_duty"}),
        ),
        (
            AssignmentReturned(unit="transport", role="co", reason="not_our_area", action="a"),
            {"co": ()},
            TimelineStep("returned", {"unit": "transport", "role": "co", "reason": "not_our_area"}),
        ),
    ],
)
def test_a_fact_of_routing(cases: Cases, fact: Fact, changes: dict[str, Any], step: TimelineStep) -> None:
    case = cases[State.IN_PROGRESS]
    assert absorb(case, fact) == CaseDecision(replace(case, **changes), steps=(step,))


def test_a_step_without_data_has_none() -> None:
    assert TimelineStep("closed").data == {}
