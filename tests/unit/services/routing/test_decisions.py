"""Each action of a unit in full: the file after it, the events, and the result on the unit's topic."""

import datetime as dt
from dataclasses import replace

import pytest

from services.routing.domain.case_file import Assignment, CaseFile, Phase, Proposal
from services.routing.domain.decisions import ActionRequest, decide, record_refusal
from shared.contracts.inquiry import NoteWords, ReplyWords
from shared.contracts.routing import (
    ActionResult,
    AssignmentReturned,
    AssignmentSigned,
    CaseTriaged,
    ReplyAction,
    ReplyProposed,
    ReturnAction,
    Role,
    RoutingRequestRefused,
    SignAction,
)
from shared.decision import Decision, PendingEvent, Refusal
from tests.unit.services.routing.test_domain import LATER, NOW, file_in

REQUEST = ActionRequest("lead", "a-9", by_topic=True)


def both_ways(
    file: CaseFile, unit: str, action: SignAction | ReplyAction | ReturnAction, at: dt.datetime
) -> Decision[CaseFile]:
    """The decision over the topic; at the desk it is the same without the results."""
    over_topic = decide(file, ActionRequest(unit, "a-9", by_topic=True), action, at)
    at_desk = decide(file, ActionRequest(unit, "a-9", by_topic=False), action, at)
    assert isinstance(over_topic, Decision) and isinstance(at_desk, Decision)
    without = tuple(event for event in over_topic.events if not isinstance(event.data, ActionResult))
    assert at_desk.events == without
    return over_topic


@pytest.mark.parametrize(("unit", "role"), [("lead", "lead"), ("co", "co")])
@pytest.mark.parametrize("notify", [True, False])
def test_a_sign(unit: str, role: Role, notify: bool) -> None:
    file = replace(file_in("accepted", "offered"), notify=notify, reply_refused="earlier")
    decision = both_ways(file, unit, SignAction(), LATER)
    lead, co = file.assignments
    if role == "lead":
        after = replace(
            file,
            dispatch_state="held",
            reply_refused=None,
            assignments=(co, replace(lead, state="signed", signed_at=LATER)),
        )
        may, state = ("reply", "return"), "held"
    else:
        after = replace(file, assignments=(lead, replace(co, state="signed", signed_at=LATER)))
        may, state = ("return",), "offered"
    assert decision.state == after
    assert decision.events == (
        PendingEvent(AssignmentSigned(unit=unit, role=role, action="a-9", notify=file.notify)),
        PendingEvent(ActionResult(action="a-9", accepted=True, state=state, allowed=may), unit=unit),
    )


@pytest.mark.parametrize("by_topic", [True, False])
def test_a_reply_is_proposed_and_waits_for_inquiry(by_topic: bool) -> None:
    file = replace(file_in("accepted", "held"), reply_refused="earlier")
    decision = decide(
        file,
        ActionRequest("lead", "a-9", by_topic=by_topic),
        ReplyAction(outcome="solved", text="好了"),
        LATER,
    )
    assert decision == Decision(
        replace(file, reply_refused=None, proposal=Proposal("lead", "a-9", by_topic)),
        (PendingEvent(ReplyProposed(unit="lead", outcome="solved", action="a-9"), ReplyWords(text="好了")),),
    )


@pytest.mark.parametrize(("unit", "role"), [("lead", "lead"), ("co", "co")])
def test_a_return(unit: str, role: Role) -> None:
    file = replace(file_in("accepted", "held"), sign_due=LATER)
    decision = both_ways(file, unit, ReturnAction(reason="not_our_area", text="不在辖区"), LATER)
    returned = PendingEvent(
        AssignmentReturned(unit=unit, role=role, reason="not_our_area", action="a-9"),
        NoteWords(text="不在辖区"),
    )
    lead, co = file.assignments
    if role == "co":
        ended = replace(co.end("returned", LATER), reason="not_our_area", note="不在辖区")
        assert decision.state == replace(file, assignments=(lead, ended))
        events = [returned]
        state = "held"
    else:
        ended = replace(lead.end("returned", LATER), reason="not_our_area", note="不在辖区")
        assert decision.state == replace(
            file,
            dispatch_state="triage",
            triage_reason="returned",
            triaged_at=LATER,
            lead=None,
            sign_due=None,
            assignments=(co, ended),
        )
        events = [returned, PendingEvent(CaseTriaged(reason="returned", hint=None, attempt=1))]
        state = "triage"
    result = ActionResult(action="a-9", accepted=True, state=state, allowed=())
    assert decision.events == (*events, PendingEvent(result, unit=unit))
    assert ended == Assignment(
        unit, role, "returned", 1, NOW, NOW, ended_at=LATER, reason="not_our_area", note="不在辖区"
    )


def test_a_refusal_changes_nothing_and_says_rule_state_and_what_is_allowed() -> None:
    file = file_in("accepted", "offered")
    refused = decide(file, REQUEST, ReplyAction(outcome="solved", text="好了"), LATER)
    assert refused == Refusal("offered", "sign_first", ("sign", "return"))
    event = RoutingRequestRefused(
        state="offered", rule="sign_first", allowed=("sign", "return"), unit="lead", action="a-9"
    )
    result = ActionResult(
        action="a-9",
        accepted=False,
        state="offered",
        rule="sign_first",
        allowed=("sign", "return"),
        detail="why",
    )
    day = LATER.date()
    held = file.assignment("lead")
    assert held is not None
    counted = file.with_assignment(replace(held, refused_on=day, refusals=1))
    assert record_refusal(file, REQUEST, replace(refused, detail="why"), day) == Decision(
        counted, (PendingEvent(event), PendingEvent(result, unit="lead"))
    )
    at_desk = replace(REQUEST, by_topic=False)
    assert record_refusal(file, at_desk, refused, day) == Decision(counted, (PendingEvent(event),))


@pytest.mark.parametrize("by_topic", [True, False])
def test_ten_refusals_of_a_unit_about_a_case_in_a_day_are_events_and_the_rest_a_count(by_topic: bool) -> None:
    file, request = file_in("accepted", "offered"), replace(REQUEST, by_topic=by_topic)
    refused = Refusal("offered", "sign_first", ("sign", "return"))
    day = LATER.date()
    kept = []
    for number in range(1, 13):
        decision = record_refusal(file, request, refused, day)
        file = decision.state
        held = file.assignment("lead")
        assert held is not None
        assert (held.refused_on, held.refusals) == (day, number)
        kept.append([type(event.data) for event in decision.events if event.stated])
        # Beyond the limit it is answered all the same, and nothing says that the answer was delivered.
        answers = [event for event in decision.events if isinstance(event.data, ActionResult)]
        assert [answer.stated for answer in answers] == [number <= 10] * by_topic
    event = [RoutingRequestRefused, ActionResult] if by_topic else [RoutingRequestRefused]
    assert kept == [event] * 10 + [[]] * 2
    assert record_refusal(file, replace(request, unit="co"), refused, day).events[0].stated
    tomorrow = record_refusal(file, request, refused, day + dt.timedelta(days=1))
    assert len(tomorrow.events) == len(event)


@pytest.mark.parametrize("phase", ["replied", "closed", "erased"])
def test_a_unit_that_is_done_learns_that_the_case_is_over(phase: Phase) -> None:
    file = file_in(phase, "held")
    done = replace(file, assignments=tuple(one.end("done", LATER) for one in file.assignments))
    for unit in ("lead", "co"):
        refused = decide(done, replace(REQUEST, unit=unit), SignAction(), LATER)
        assert isinstance(refused, Refusal)
        assert refused.rule == f"case_{phase}"
    stranger = decide(done, replace(REQUEST, unit="stranger"), SignAction(), LATER)
    assert isinstance(stranger, Refusal)
    assert stranger.rule == "not_assigned"
