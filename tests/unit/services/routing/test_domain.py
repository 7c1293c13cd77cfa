"""The rules of routing as tables: every action in every state, every event of inquiry in every state."""

import datetime as dt
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import pytest

from services.routing.domain import facts
from services.routing.domain.case_file import (
    Assignment,
    AssignmentState,
    CaseFile,
    DispatchState,
    Phase,
    Proposal,
    displayed_state,
)
from services.routing.domain.decisions import Action, ActionRequest, allowed, decide, name_of, record_refusal
from shared.contracts.inquiry import (
    Deadline,
    InquiryAccepted,
    InquiryClosed,
    InquiryReceived,
    InquiryReopened,
    InquiryRequestRefused,
)
from shared.contracts.routing import ActionResult, ReplyAction, ReturnAction, Role, SignAction
from shared.decision import Decision, Refusal

NOW = dt.datetime(2026, 11, 24, 2, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=7)
DEADLINE = Deadline(due=LATER, day_zero=NOW, amount=5, day_count="working_days")
SUBJECT = "019ab0e5-0000-7000-8000-000000000001"

PHASES: tuple[Phase, ...] = get_args(Phase)
DISPATCH_STATES: tuple[DispatchState, ...] = get_args(DispatchState)
ACTIONS: tuple[Action, ...] = (
    SignAction(),
    ReplyAction(outcome="solved", text="好了"),
    ReturnAction(reason="not_our_area", text="不在辖区"),
)


def assignment(unit: str, role: Role, state: AssignmentState) -> Assignment:
    return Assignment(unit, role, state, 1, NOW, NOW if state == "signed" else None)


def file_in(phase: Phase, dispatch_state: DispatchState, *, proposal: bool = False) -> CaseFile:
    """A file as it would be after a life that led there."""
    known = phase != "unknown"
    held: tuple[Assignment, ...] = ()
    if dispatch_state == "offered":
        held = (assignment("lead", "lead", "offered"), assignment("co", "co", "offered"))
    elif dispatch_state == "held":
        held = (assignment("lead", "lead", "signed"), assignment("co", "co", "signed"))
    elif dispatch_state == "triage":
        held = (assignment("lead", "lead", "returned"), assignment("co", "co", "signed"))
    return CaseFile(
        SUBJECT,
        phase,
        number="20261124-7K3M9Q2XWB-F" if known else None,
        kind="help" if known else None,
        service_code="street-light" if known else None,
        visibility="public" if known else None,
        reply_due=LATER if phase not in ("unknown", "received") else None,
        dispatch_state=dispatch_state,
        attempt=1 if held else 0,
        lead="lead" if dispatch_state in ("offered", "held") else None,
        proposal=Proposal("lead", "a-1", True, "p-1") if proposal else None,
        assignments=held,
    )


def files() -> Iterator[CaseFile]:
    for phase, dispatch_state, proposal in itertools.product(PHASES, DISPATCH_STATES, (False, True)):
        yield file_in(phase, dispatch_state, proposal=proposal)


def acted(
    file: CaseFile, unit: str, action: Action, *, by_topic: bool = False
) -> tuple[Decision[CaseFile], Refusal | None]:
    request = ActionRequest(unit, "a-9", by_topic=by_topic)
    decided = decide(file, request, action, LATER)
    if isinstance(decided, Refusal) and file.assignment(unit) is None:
        return Decision(file), decided
    if isinstance(decided, Refusal):
        return record_refusal(file, request, decided, LATER.date()), decided
    return decided, None


def _received(file: CaseFile) -> Decision[CaseFile]:
    data = InquiryReceived(
        number="20261124-7K3M9Q2XWB-F",
        kind="help",
        service_code="street-light",
        channel="web",
        secret_hash="0" * 64,
        deadline=DEADLINE,
    )
    return facts.received(file, data, NOW, "pack@1", "cn-city")


REFUSED = InquiryRequestRefused(state="in_progress", rule="no", allowed=("reply", "erase"))
FACTS: dict[str, Callable[[CaseFile], Decision[CaseFile]]] = {
    "received": _received,
    "accepted": lambda f: facts.accepted(f, InquiryAccepted(deadline=DEADLINE)),
    "replied": lambda f: facts.replied(f, "p-1"),
    "refused": lambda f: facts.request_refused(f, REFUSED, "p-1"),
    "closed": lambda f: facts.closed(f, InquiryClosed(outcome="no_evaluation", cycle=1), NOW),
    "reopened": lambda f: facts.reopened(f, InquiryReopened(cycle=2, deadline=DEADLINE), None),
    "erased": lambda f: facts.erased(f, NOW),
}

# The phase after each event, in each phase: a column shows every event that may come late or never.
AFTER: dict[str, tuple[Phase, ...]] = {
    #            unknown      received    accepted    replied     closed      erased
    "received": ("accepted", "received", "accepted", "replied", "closed", "erased"),
    "accepted": ("accepted", "accepted", "accepted", "replied", "closed", "erased"),
    "replied": ("replied", "replied", "replied", "replied", "closed", "erased"),
    "refused": ("unknown", "received", "accepted", "replied", "closed", "erased"),
    "closed": ("closed", "closed", "closed", "closed", "closed", "erased"),
    "reopened": ("accepted", "accepted", "accepted", "accepted", "accepted", "erased"),
    "erased": ("erased", "erased", "erased", "erased", "erased", "erased"),
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_event_of_inquiry_is_absorbed_in_every_state(fact: str) -> None:
    for before in files():
        decision = FACTS[fact](before)
        assert decision.state.phase == AFTER[fact][PHASES.index(before.phase)], (fact, before)
        assert all(event.unit is not None for event in decision.events), (
            "inquiry's events lead to records, not to events"
        )
        assert decision.state.id == before.id


@pytest.mark.parametrize("fact", FACTS)
def test_an_event_that_is_absorbed_twice_changes_nothing_the_second_time(fact: str) -> None:
    for before in files():
        once = FACTS[fact](before).state
        twice = FACTS[fact](once)
        assert twice.state == once
        if fact != "reopened":  # a later reopening is a new one: the core takes the same event only once
            assert twice.events == ()


def test_nothing_brings_an_erased_case_back() -> None:
    for (_, absorb), dispatch_state in itertools.product(FACTS.items(), DISPATCH_STATES):
        erased = FACTS["erased"](file_in("accepted", dispatch_state)).state
        decision = absorb(erased)
        assert (decision.state.state, decision.events) == ("erased", ())
        assert not any(one.live for one in decision.state.assignments)


def test_a_file_is_dispatched_once_and_only_when_every_part_is_there() -> None:
    whole = file_in("accepted", "waiting")
    assert whole.ready
    assert not replace(whole, number=None).ready
    assert not replace(whole, reply_due=None).ready
    assert not any(file_in(phase, "waiting").ready for phase in PHASES if phase != "accepted")
    assert not any(
        file_in("accepted", dispatch_state).ready
        for dispatch_state in DISPATCH_STATES
        if dispatch_state != "waiting"
    )


def test_an_answer_reaches_only_the_unit_whose_proposal_it_answers() -> None:
    file = file_in("accepted", "held", proposal=True)
    (result,) = facts.request_refused(file, REFUSED, "p-1").events
    assert result.unit == "lead"
    assert result.data == ActionResult(
        action="a-1", accepted=False, state="held", rule="no", allowed=("reply", "return")
    ), "state and what is allowed in routing's words, whatever inquiry calls them"
    assert facts.request_refused(file, REFUSED, "another").events == ()
    assert facts.request_refused(file, REFUSED, "another").state.proposal == file.proposal
    at_desk = replace(file, proposal=Proposal("lead", "a-1", False, "p-1"))
    answered = facts.replied(at_desk, "p-1")
    assert (answered.events, answered.state.proposal, answered.state.reply_refused) == ((), None, None)


def test_a_refused_reply_stays_on_the_file_until_the_lead_acts_or_the_case_moves_on() -> None:
    at_desk = replace(file_in("accepted", "held"), proposal=Proposal("lead", "a-1", False, "p-1"))
    refused = facts.request_refused(at_desk, REFUSED, "p-1")
    file = refused.state
    assert (refused.events, file.proposal, file.reply_refused) == ((), None, "no")

    def after(unit: str, action: Action) -> str | None:
        return acted(file, unit, action)[0].state.reply_refused

    sign, reply, give_back = ACTIONS
    assert (after("lead", sign), after("co", give_back)) == ("no", "no"), "refused, or not the lead's"
    assert (after("lead", reply), after("lead", give_back)) == (None, None)
    assert [FACTS[fact](file).state.reply_refused for fact in ("replied", "reopened")] == [None, None]


def test_an_assignment_that_waited_for_its_unit_is_shown_as_replied_until_the_case_is_reopened() -> None:
    for state in get_args(AssignmentState):
        assert displayed_state(state, "replied") == ("replied" if state in ("offered", "signed") else state)
        assert displayed_state(state, "held") == displayed_state(state, "closed") == state
    again = FACTS["reopened"](file_in("replied", "held")).state
    assert [displayed_state(one.state, again.state) for one in again.assignments] == ["signed", "signed"]


@pytest.mark.parametrize("dispatch_state", ["offered", "held"])
def test_a_reopened_case_is_again_what_it_was_for_its_lead_and_its_co_handlers(
    dispatch_state: DispatchState,
) -> None:
    worked_on = file_in("accepted", dispatch_state)
    replied = replace(worked_on, phase="replied")
    closed = FACTS["closed"](replied).state
    assert not any(one.live for one in closed.assignments)
    for before in (replied, closed):
        again = FACTS["reopened"](before)
        assert again.state.assignments == worked_on.assignments
        assert again.state.state == dispatch_state
        records = [(event.unit, event.data.model_dump()["role"]) for event in again.events]
        assert records == [("lead", "lead"), ("co", "co")]


def test_a_unit_that_gave_the_case_back_or_lost_it_is_not_in_a_new_round() -> None:
    gone = (assignment("returned", "lead", "returned"), assignment("released", "co", "released"))
    held = file_in("replied", "held")
    again = FACTS["reopened"](replace(held, assignments=(*held.assignments, *gone)))
    assert again.state.assignments[-2:] == gone
    assert {event.unit for event in again.events} == {"lead", "co"}


# What each unit of `file_in` may do, by the dispatch state of a case that is neither answered nor over.
MAY: dict[tuple[str, DispatchState], set[str]] = {
    ("lead", "offered"): {"sign", "return"},
    ("lead", "held"): {"reply", "return"},
    ("co", "offered"): {"sign", "return"},
    ("co", "held"): {"return"},
    ("co", "triage"): {"return"},
}


@pytest.mark.parametrize("action", ACTIONS, ids=name_of)
@pytest.mark.parametrize("unit", ["lead", "co", "stranger"])
def test_an_action_is_done_exactly_where_it_may_be(action: Action, unit: str) -> None:
    verb = name_of(action)
    done = 0
    for before in files():
        decision, refused = acted(before, unit, action, by_topic=True)
        worked_on = before.phase not in ("replied", "closed", "erased")
        waits = before.proposal is not None and unit == "lead"
        may = worked_on and not waits and verb in MAY.get((unit, before.dispatch_state), ())
        assert (refused is None) == may, (verb, before)
        assert (verb in allowed(before, unit)) == may
        if refused is None:
            done += 1
            assert decision.state != before
        else:
            assert replace(decision.state, assignments=()) == replace(before, assignments=())
            assert (decision.state == before) == (before.assignment(unit) is None)
            if before.assignment(unit) is None:
                continue
            event, result = decision.events
            assert event.unit is None
            assert event.data.contract.type == "civic.routing.request_refused.v1"
            assert (result.unit, result.data.model_dump()["accepted"]) == (unit, False)
    assert (done > 0) == ((unit, verb) not in {("co", "reply")} and unit != "stranger")


@pytest.mark.parametrize(
    ("phase", "dispatch_state", "unit", "verb", "rule"),
    [
        ("accepted", "offered", "stranger", "sign", "not_assigned"),
        ("accepted", "triage", "lead", "sign", "not_assigned"),
        ("accepted", "offered", "lead", "reply", "sign_first"),
        ("accepted", "held", "lead", "sign", "signed_already"),
        ("accepted", "held", "co", "reply", "not_lead"),
        ("replied", "held", "lead", "reply", "case_replied"),
        ("closed", "held", "lead", "return", "case_closed"),
        ("erased", "held", "co", "return", "case_erased"),
    ],
)
def test_a_refusal_names_the_rule(
    phase: Phase, dispatch_state: DispatchState, unit: str, verb: str, rule: str
) -> None:
    action = next(one for one in ACTIONS if name_of(one) == verb)
    _, refused = acted(file_in(phase, dispatch_state), unit, action)
    assert refused is not None
    assert refused.rule == rule


def test_a_lead_whose_reply_is_pending_waits_and_a_co_handler_may_still_return() -> None:
    file = file_in("accepted", "held", proposal=True)
    for action in ACTIONS:
        _, refused = acted(file, "lead", action)
        assert refused is not None
        assert refused.rule == "reply_pending"
    assert allowed(file, "co") == ("return",)
