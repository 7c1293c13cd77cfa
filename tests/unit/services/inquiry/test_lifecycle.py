"""Every command and every event of routing in every state: the whole table, written out."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from services.inquiry.domain.case import Case, CaseDecision
from services.inquiry.domain.decisions import (
    Proposal,
    accept,
    allowed_to_citizen,
    allowed_to_staff,
    erase,
    evaluate,
    propose_reply,
    reopen,
)
from services.inquiry.domain.facts import Fact, absorb
from services.inquiry.domain.states import HOLDING, PARTS, STATE, Holding, RoutingFact, Stage, State
from services.inquiry.domain.timers import evaluation_ends, mark_reached, reply_due
from services.inquiry.timers import DECISIONS
from shared.contracts.inquiry import DeadlineBreached, Evaluation
from shared.contracts.routing import AssignmentReturned, AssignmentSigned, CaseDispatched, CaseTriaged
from shared.decision import Refusal
from shared.policy.model import Pack
from tests.unit.services.inquiry.conftest import LEAD, NOW

Cases = dict[State, Case]
Run = Callable[[Case, Pack], CaseDecision | Refusal]

COMMANDS: dict[str, Run] = {
    "accept": lambda case, pack: accept(case, pack, NOW),
    "reply": lambda case, pack: propose_reply(case, pack, Proposal(LEAD, "solved", "好了", NOW), NOW),
    "evaluate": lambda case, pack: evaluate(case, pack, Evaluation(solved="yes", rating=5), None, NOW),
    "not solved": lambda case, pack: evaluate(case, pack, Evaluation(solved="no", rating=1), None, NOW),
    "reopen": lambda case, pack: reopen(case, pack, None, NOW),
    "erase": lambda case, _: erase(case, "citizen_request", NOW),
}
# What each command makes of a case in each state; what is not listed is refused.
OUTCOMES: dict[tuple[str, State], State] = {
    ("accept", State.RECEIVED): State.ACCEPTED,
    ("reply", State.DISPATCHED): State.REPLIED,
    ("reply", State.IN_PROGRESS): State.REPLIED,
    ("evaluate", State.REPLIED): State.CLOSED,
    ("not solved", State.REPLIED): State.IN_PROGRESS,
    ("reopen", State.CLOSED): State.IN_PROGRESS,
    **{("erase", state): State.CLOSED for state in State if state is not State.UNKNOWN},
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_state_is_decided_as_the_table_says(
    cases: Cases, pack: Pack, command: str, state: State
) -> None:
    case = cases[state]
    assert case.state is state
    decision = COMMANDS[command](case, pack)
    expected = OUTCOMES.get((command, state))
    if expected is None:
        assert isinstance(decision, Refusal)
        assert decision.state is state
        assert decision.rule
    else:
        assert isinstance(decision, CaseDecision)
        assert decision.state.state is expected
        assert decision.events
        assert decision.steps


def returned(unit: str, role: Literal["lead", "co"]) -> AssignmentReturned:
    return AssignmentReturned(unit=unit, role=role, reason="not_our_duty", action="a")


FACTS: dict[RoutingFact, Fact] = {
    RoutingFact.DISPATCHED: CaseDispatched(lead="housing", co=("transport",), rule="r-2", attempt=2),
    RoutingFact.TRIAGED: CaseTriaged(reason="no_rule", attempt=2),
    RoutingFact.LEAD_SIGNED: AssignmentSigned(unit=LEAD, role="lead", action="a"),
    RoutingFact.CO_SIGNED: AssignmentSigned(unit="transport", role="co", action="a"),
    RoutingFact.LEAD_RETURNED: AssignmentReturned(unit=LEAD, role="lead", reason="not_our_duty", action="a"),
    RoutingFact.CO_RETURNED: AssignmentReturned(
        unit="transport", role="co", reason="not_our_duty", action="a"
    ),
}


# Holding, lead and co-handlers after each fact, for a case with the lead LEAD and the co-handler transport;
# `=` is unchanged.
AFTER: dict[RoutingFact, tuple[str, str | None, tuple[str, ...]]] = {
    RoutingFact.DISPATCHED: ("dispatched", "housing", ("transport",)),
    RoutingFact.TRIAGED: ("none", None, ("transport",)),
    RoutingFact.LEAD_SIGNED: ("signed", LEAD, ("transport",)),
    RoutingFact.CO_SIGNED: ("=", LEAD, ("transport",)),
    RoutingFact.LEAD_RETURNED: ("none", None, ("transport",)),
    RoutingFact.CO_RETURNED: ("=", LEAD, ()),
}


@pytest.mark.parametrize("holding", Holding)
@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("fact", RoutingFact)
def test_every_fact_of_routing_is_absorbed_in_every_state(
    cases: Cases, fact: RoutingFact, stage: Stage, holding: Holding
) -> None:
    case = replace(cases[State.IN_PROGRESS], stage=stage, holding=holding)
    decision = absorb(case, FACTS[fact])
    how_far, lead, co = AFTER[fact]
    assert decision.state.holding == (holding if how_far == "=" else how_far)
    assert (decision.state.lead, decision.state.co) == (lead, co)
    assert decision.state.stage is stage
    assert decision.events == ()
    assert len(decision.steps) == 1
    assert decision.state.state in State


def test_a_fact_changes_the_displayed_state_only_while_the_case_is_worked_on(cases: Cases) -> None:
    for state, case in cases.items():
        after = absorb(case, FACTS[RoutingFact.TRIAGED]).state.state
        worked_on = state in (State.ACCEPTED, State.DISPATCHED, State.IN_PROGRESS)
        assert after is (State.ACCEPTED if worked_on else state)


def test_lead_and_co_handlers_follow_the_facts(cases: Cases) -> None:
    case = absorb(cases[State.UNKNOWN], FACTS[RoutingFact.DISPATCHED]).state
    assert (case.lead, case.co, case.attempt) == ("housing", ("transport",), 2)
    without_lead = absorb(
        absorb(case, FACTS[RoutingFact.LEAD_RETURNED]).state, FACTS[RoutingFact.TRIAGED]
    ).state
    # The co-handler goes on while a dispatcher looks for another lead.
    assert (without_lead.lead, without_lead.co, without_lead.holding) == (None, ("transport",), Holding.NONE)
    case = absorb(case, FACTS[RoutingFact.CO_RETURNED]).state
    assert (case.lead, case.co) == ("housing", ())
    case = absorb(case, FACTS[RoutingFact.LEAD_RETURNED]).state
    assert (case.lead, case.holding) == (None, Holding.NONE)


def test_the_tables_are_complete() -> None:
    assert set(STATE) == {(stage, holding) for stage in Stage for holding in Holding}
    assert set(HOLDING) == {(holding, fact) for holding in Holding for fact in RoutingFact}
    assert set(STATE.values()) == set(State)
    for state, (stage, holdings) in PARTS.items():
        assert {STATE[stage, holding] for holding in holdings} == {state}


@pytest.mark.parametrize("state", State)
def test_timers_mean_something_only_in_their_state_and_round(cases: Cases, pack: Pack, state: State) -> None:
    case = cases[state]
    on_the_clock = state in (State.ACCEPTED, State.DISPATCHED, State.IN_PROGRESS)
    assert bool(mark_reached(case, pack, 1, 50).events) is on_the_clock
    assert bool(reply_due(case, 1).events) is on_the_clock
    assert bool(evaluation_ends(case, 1, NOW).events) is (state is State.REPLIED)
    assert not mark_reached(case, pack, 2, 50).events
    assert not reply_due(case, 2).events
    assert not evaluation_ends(case, 2, NOW).events


def test_marks_follow_each_other_and_the_deadline_check_comes_last(cases: Cases, pack: Pack) -> None:
    accepted = accept(cases[State.RECEIVED], pack, NOW)
    assert isinstance(accepted, CaseDecision)
    case, timer, seen = accepted.state, accepted.timers[0], []
    while timer.kind == "reply_mark":
        seen.append((timer.data["percent"], timer.due))
        timer = mark_reached(case, pack, 1, timer.data["percent"]).timers[0]
    assert [percent for percent, _ in seen] == [50, 80, 100]
    assert [due for _, due in seen] == sorted(due for _, due in seen)
    assert case.clock is not None
    assert (timer.kind, timer.due, timer.is_deadline_check) == ("reply_due", case.clock.due, True)
    assert seen[-1][1] == case.clock.due


SECOND = dt.timedelta(seconds=1)


@pytest.mark.parametrize(
    ("late", "breached", "emitted"),
    [
        (-SECOND, False, ["InquiryReplied"]),
        (0 * SECOND, False, ["InquiryReplied"]),
        (SECOND, False, ["DeadlineBreached", "InquiryReplied"]),
        (SECOND, True, ["InquiryReplied"]),
        (0 * SECOND, True, ["BreachWithdrawn", "InquiryReplied"]),
    ],
)
def test_a_reply_is_judged_by_when_it_was_given(
    cases: Cases, pack: Pack, late: dt.timedelta, breached: bool, emitted: list[str]
) -> None:
    case = replace(cases[State.IN_PROGRESS], breached=breached)
    assert case.clock is not None
    acted = case.clock.due + late
    decision = propose_reply(case, pack, Proposal(LEAD, "solved", None, acted), acted + 5 * SECOND)
    assert isinstance(decision, CaseDecision)
    assert [type(event.data).__name__ for event in decision.events] == emitted
    assert decision.state.breached is (late > 0 * SECOND)


def reopened_after_a_breach(cases: Cases, pack: Pack) -> Case:
    late = replace(cases[State.REPLIED], breached=True)
    decision = evaluate(late, pack, Evaluation(solved="no", rating=1), None, NOW)
    assert isinstance(decision, CaseDecision)
    assert decision.state.cycle == 2
    return decision.state


def test_a_case_breached_in_its_first_round_is_judged_again_in_its_second(cases: Cases, pack: Pack) -> None:
    case = reopened_after_a_breach(cases, pack)
    assert case.clock is not None
    judged = reply_due(case, 2)
    assert [event.data for event in judged.events] == [DeadlineBreached(due=case.clock.due, cycle=2)]
    assert judged.state.breached


def test_a_late_reply_of_the_second_round_says_its_own_breach(cases: Cases, pack: Pack) -> None:
    case = reopened_after_a_breach(cases, pack)
    assert case.clock is not None
    acted = case.clock.due + SECOND
    decision = propose_reply(
        replace(case, holding=Holding.SIGNED, lead=LEAD), pack, Proposal(LEAD, "solved", None, acted), acted
    )
    assert isinstance(decision, CaseDecision)
    assert decision.events[0].data == DeadlineBreached(due=case.clock.due, cycle=2)


def test_a_breach_is_said_once_in_a_round(cases: Cases) -> None:
    once = reply_due(cases[State.IN_PROGRESS], 1)
    assert [type(event.data) for event in once.events] == [DeadlineBreached]
    assert reply_due(once.state, 1) == CaseDecision(once.state)


def test_a_reply_stops_the_reply_clock_and_starts_the_window_for_an_evaluation(
    cases: Cases, pack: Pack
) -> None:
    decision = propose_reply(cases[State.IN_PROGRESS], pack, Proposal(LEAD, "solved", None, NOW), NOW)
    assert isinstance(decision, CaseDecision)
    assert set(decision.cancelled) == {"reply_mark", "reply_due"}
    (timer,) = decision.timers
    assert (timer.kind, timer.due) == ("evaluation_ends", decision.state.evaluate_until)
    assert timer.is_deadline_check


def test_a_reply_whose_words_are_erased_is_still_a_reply(cases: Cases, pack: Pack) -> None:
    decision = propose_reply(cases[State.IN_PROGRESS], pack, Proposal(LEAD, "solved", None, NOW), NOW)
    assert isinstance(decision, CaseDecision)
    assert decision.events[-1].words is None


def test_reworks_are_counted_and_end(cases: Cases, pack: Pack) -> None:
    no = Evaluation(solved="no", rating=1)
    for cycle, closes in ((1, False), (2, False), (3, True)):
        decision = evaluate(replace(cases[State.REPLIED], cycle=cycle), pack, no, None, NOW)
        assert isinstance(decision, CaseDecision)
        assert (decision.state.stage is Stage.CLOSED) is closes
    refusal = reopen(replace(cases[State.CLOSED], cycle=3), pack, None, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.rule == "at_most_2_reworks"


def test_the_rework_of_an_urgent_case_is_as_urgent(cases: Cases, pack: Pack) -> None:
    no = Evaluation(solved="no", rating=1)
    ordinary, urgent = (
        evaluate(replace(cases[State.REPLIED], kind="complaint", urgent=urgent), pack, no, None, NOW)
        for urgent in (False, True)
    )
    assert isinstance(ordinary, CaseDecision) and isinstance(urgent, CaseDecision)
    assert urgent.state.clock is not None and ordinary.state.clock is not None
    assert urgent.state.clock.due - NOW <= dt.timedelta(hours=24) < ordinary.state.clock.due - NOW


def test_an_evaluation_after_its_window_is_refused(cases: Cases, pack: Pack) -> None:
    case = cases[State.REPLIED]
    assert case.evaluate_until is not None
    yes = Evaluation(solved="yes", rating=4)
    assert isinstance(evaluate(case, pack, yes, None, case.evaluate_until), CaseDecision)
    late = evaluate(case, pack, yes, None, case.evaluate_until + SECOND)
    assert isinstance(late, Refusal)
    assert late.rule == "evaluate_within_the_window"


@pytest.mark.parametrize(
    ("state", "citizen", "staff"),
    [
        (State.RECEIVED, ["erase"], ["accept", "erase"]),
        (State.IN_PROGRESS, ["erase"], ["erase"]),
        (State.REPLIED, ["evaluate", "erase"], ["erase"]),
        (State.CLOSED, ["reopen", "erase"], ["erase"]),
    ],
)
def test_the_allowed_commands_are_those_that_would_be_accepted(
    cases: Cases, pack: Pack, state: State, citizen: list[str], staff: list[str]
) -> None:
    assert allowed_to_citizen(cases[state], pack, NOW) == citizen
    assert allowed_to_staff(cases[state], NOW) == staff
    erased = erase(cases[state], "citizen_request", NOW)
    assert isinstance(erased, CaseDecision)
    assert set(erased.cancelled) == {"reply_mark", "reply_due", "evaluation_ends"}
    assert allowed_to_citizen(erased.state, pack, NOW) == allowed_to_staff(erased.state, NOW) == []


def test_every_timer_that_a_decision_schedules_or_cancels_has_a_handler(cases: Cases, pack: Pack) -> None:
    accepted, replied = COMMANDS["accept"], COMMANDS["reply"]
    decisions = [accepted(cases[State.RECEIVED], pack), replied(cases[State.IN_PROGRESS], pack)]
    decisions += [
        mark_reached(cases[State.IN_PROGRESS], pack, 1, 100),
        erase(cases[State.REPLIED], "retention", NOW),
    ]
    kinds: set[str] = set()
    for decision in decisions:
        assert isinstance(decision, CaseDecision)
        kinds |= {timer.kind for timer in decision.timers} | set(decision.cancelled)
    assert kinds == set(DECISIONS)
