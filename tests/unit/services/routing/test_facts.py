"""Each event of inquiry in full: what the file takes over, and which records the units get."""

import datetime as dt
from dataclasses import replace

import pytest

from services.routing.domain import facts
from services.routing.domain.case_file import CaseFile, Proposal
from shared.contracts.inquiry import (
    Deadline,
    Evaluation,
    InquiryAccepted,
    InquiryClosed,
    InquiryReceived,
    InquiryReopened,
    InquiryRequestRefused,
)
from shared.contracts.routing import ActionResult, CaseClosed, CaseReopened, CaseWithdrawn
from shared.decision import Decision, PendingEvent
from tests.unit.services.routing.test_domain import DEADLINE, LATER, NOW, SUBJECT, assignment, file_in

OTHER = Deadline(due=LATER + dt.timedelta(days=1), day_zero=NOW, amount=24, day_count="hours_24x7")
NUMBER = "20261124-7K3M9Q2XWB-F"


def intake(deadline: Deadline | None) -> InquiryReceived:
    return InquiryReceived(
        number=NUMBER,
        kind="complaint",
        service_code="street-light",
        area="yunxi",
        visibility="withheld",
        channel="web",
        urgent=True,
        secret_hash="0" * 64,
        has_contact=True,
        deadline=deadline,
        hint="water",
        notify=True,
    )


@pytest.mark.parametrize("deadline", [DEADLINE, None])
def test_an_intake(deadline: Deadline | None) -> None:
    assert facts.received(CaseFile(SUBJECT), intake(deadline), NOW, "pack@1", "cn-city") == Decision(
        CaseFile(
            SUBJECT,
            "accepted" if deadline else "received",
            number=NUMBER,
            kind="complaint",
            service_code="street-light",
            area="yunxi",
            visibility="withheld",
            urgent=True,
            hint="water",
            notify=True,
            received_at=NOW,
            reply_due=deadline.due if deadline else None,
            reply_day_count="working_days" if deadline else None,
            policy_version="pack@1",
            jurisdiction="cn-city",
        )
    )


def test_an_intake_that_comes_late_keeps_the_deadline_of_a_later_round() -> None:
    early = replace(CaseFile(SUBJECT), phase="accepted", reply_due=OTHER.due, reply_day_count="hours_24x7")
    after = facts.received(early, intake(DEADLINE), NOW, "pack@1", "cn-city").state
    assert (after.phase, after.reply_due, after.reply_day_count) == ("accepted", OTHER.due, "hours_24x7")


def test_an_acceptance_sets_the_deadline_once() -> None:
    file = file_in("received", "waiting")
    accepted = facts.accepted(file, InquiryAccepted(deadline=OTHER))
    assert accepted == Decision(
        replace(file, phase="accepted", reply_due=OTHER.due, reply_day_count="hours_24x7")
    )
    assert facts.accepted(accepted.state, InquiryAccepted(deadline=DEADLINE)) == Decision(accepted.state)


@pytest.mark.parametrize("number", [NUMBER, None])
def test_a_closing(number: str | None) -> None:
    gone = assignment("gone", "co", "returned")
    file = replace(file_in("replied", "held"), number=number)
    file = replace(file, assignments=(*file.assignments, gone))
    evaluation = Evaluation(solved="yes", rating=5)
    record = CaseClosed(number=number or "", outcome="evaluated", evaluation=evaluation)
    lead, co, _ = file.assignments
    assert facts.closed(
        file, InquiryClosed(outcome="evaluated", cycle=1, evaluation=evaluation), LATER
    ) == Decision(
        replace(file, phase="closed", assignments=(lead.end("done", LATER), co.end("done", LATER), gone)),
        (PendingEvent(record, unit="lead"), PendingEvent(record, unit="co")),
    )


@pytest.mark.parametrize("number", [NUMBER, None])
def test_a_new_round(number: str | None) -> None:
    evaluation = Evaluation(solved="no", rating=1)
    file = replace(file_in("replied", "held"), number=number, reply_refused="earlier")
    closed = facts.closed(file, InquiryClosed(outcome="unsolved", cycle=1), LATER).state
    data = InquiryReopened(cycle=2, deadline=OTHER, evaluation=evaluation)
    assert facts.reopened(closed, data, "还是不亮") == Decision(
        replace(
            file,
            phase="accepted",
            reply_due=OTHER.due,
            reply_day_count="hours_24x7",
            cycle=2,
            reply_refused=None,
        ),
        tuple(
            PendingEvent(
                CaseReopened(
                    number=number or "",
                    role=unit,
                    cycle=2,
                    reply_due=OTHER.due,
                    evaluation=evaluation,
                    note="还是不亮",
                ),
                unit=unit,
            )
            for unit in ("lead", "co")
        ),
    )


@pytest.mark.parametrize("number", [NUMBER, None])
def test_an_erasure_reaches_every_unit_that_ever_held_the_case(number: str | None) -> None:
    gone = replace(assignment("gone", "co", "returned"), reason="not_our_area", note="王芳不在辖区")
    file = replace(file_in("accepted", "held"), number=number)
    file = replace(file, assignments=(*file.assignments, gone))
    lead, co, _ = file.assignments
    record = CaseWithdrawn(number=number or "", reason="erased")
    assert facts.erased(file, LATER) == Decision(
        replace(
            file,
            phase="erased",
            assignments=(lead.end("released", LATER), co.end("released", LATER), replace(gone, note=None)),
        ),
        tuple(PendingEvent(record, unit=unit) for unit in ("lead", "co", "gone")),
    )


@pytest.mark.parametrize("by_topic", [True, False])
def test_an_answer_to_a_proposal(by_topic: bool) -> None:
    file = replace(file_in("accepted", "held"), proposal=Proposal("lead", "a-1", by_topic, "p-1"))
    refusal = InquiryRequestRefused(state="replied", rule="no", allowed=("reply",))
    refused = facts.request_refused(file, refusal, "p-1")
    assert refused.state == replace(file, proposal=None, reply_refused="no")
    replied = facts.replied(replace(file, reply_refused="earlier"), "p-1")
    assert replied.state == replace(file, phase="replied", proposal=None, reply_refused=None)
    results = [
        PendingEvent(
            ActionResult(action="a-1", accepted=False, state="held", rule="no", allowed=("reply", "return")),
            unit="lead",
        ),
        PendingEvent(ActionResult(action="a-1", accepted=True, state="replied", allowed=()), unit="lead"),
    ]
    assert [*refused.events, *replied.events] == (results if by_topic else [])


@pytest.mark.parametrize("request_id", ["p-2", None])
def test_an_answer_to_something_else_leaves_the_proposal(request_id: str | None) -> None:
    file = file_in("accepted", "held", proposal=True)
    assert facts.replied(file, request_id) == Decision(replace(file, phase="replied"))
    without = file_in("accepted", "held")
    assert facts.replied(without, None) == Decision(replace(without, phase="replied"))
