"""What inquiry tells. A fact is never refused: every one is absorbed in every state, some without effect."""

import datetime as dt
from dataclasses import replace

from services.routing.domain.case_file import Assignment, CaseFile, Outcome, Phase, Said
from services.routing.domain.decisions import allowed
from shared.contracts.inquiry import (
    InquiryAccepted,
    InquiryClosed,
    InquiryReceived,
    InquiryReopened,
    InquiryRequestRefused,
)
from shared.contracts.routing import ActionResult, CaseClosed, CaseReopened, CaseWithdrawn

# A phase that a fact arrives too late for: what came meanwhile has gone further.
_BEFORE_ACCEPTED: frozenset[Phase] = frozenset({"unknown", "received"})
_ENDED: frozenset[Phase] = frozenset({"closed", "erased"})


def received(
    file: CaseFile,
    facts: InquiryReceived,
    at: dt.datetime,
    policy_version: str | None,
    jurisdiction: str | None,
) -> CaseFile:
    """All that inquiry knows at intake; with a deadline the case is accepted (受理) in the same act."""
    phase = file.phase
    if phase == "unknown":
        phase = "accepted" if facts.deadline else "received"
    deadline = facts.deadline if file.reply_due is None else None
    return replace(
        file,
        phase=phase,
        number=facts.number,
        kind=facts.kind,
        service_code=facts.service_code,
        area=facts.area,
        visibility=facts.visibility,
        urgent=facts.urgent,
        hint=facts.hint,
        notify=facts.has_contact and facts.notify,
        received_at=at,
        reply_due=deadline.due if deadline else file.reply_due,
        reply_day_count=deadline.day_count if deadline else file.reply_day_count,
        policy_version=policy_version,
        jurisdiction=jurisdiction,
    )


def accepted(file: CaseFile, facts: InquiryAccepted) -> CaseFile:
    """A clerk has accepted it (受理)."""
    if file.phase not in _BEFORE_ACCEPTED:
        return file
    deadline = facts.deadline
    return replace(file, phase="accepted", reply_due=deadline.due, reply_day_count=deadline.day_count)


def replied(file: CaseFile, request: str | None) -> Outcome:
    """The reply (答复) is given; if it is the one that a unit proposed, the unit learns it."""
    phase: Phase = file.phase if file.phase in _ENDED else "replied"
    return _answered(replace(file, phase=phase, reply_refused=None), request, None)


def request_refused(file: CaseFile, facts: InquiryRequestRefused, request: str | None) -> Outcome:
    """inquiry does not take a proposed reply; requests of others are not ours to pass on."""
    return _answered(file, request, facts)


def closed(file: CaseFile, facts: InquiryClosed, at: dt.datetime) -> Outcome:
    """The case is over (办结): its holders are told and are done."""
    if file.phase == "erased":
        return Outcome(file)
    record = CaseClosed(number=file.number or "", outcome=facts.outcome, evaluation=facts.evaluation)
    after = replace(
        file,
        phase="closed",
        assignments=tuple(one.end("done", at) if one.live else one for one in file.assignments),
    )
    return Outcome(after, tuple(Said(record, unit=one.unit) for one in file.live_assignments()))


def reopened(file: CaseFile, facts: InquiryReopened, note: str | None) -> Outcome:
    """重办: the case is again its holders', each signed or not as it was; one in triage stays there."""
    if file.phase == "erased":
        return Outcome(file)
    after = replace(
        file,
        phase="accepted",
        reply_due=facts.deadline.due,
        reply_day_count=facts.deadline.day_count,
        cycle=facts.cycle,
        reply_refused=None,
        assignments=tuple(one.again() if one.state == "done" else one for one in file.assignments),
    )
    return Outcome(after, tuple(_reopening(after, facts, note, one) for one in after.live_assignments()))


def _reopening(file: CaseFile, facts: InquiryReopened, note: str | None, held: Assignment) -> Said:
    record = CaseReopened(
        number=file.number or "",
        role=held.role,
        cycle=facts.cycle,
        reply_due=facts.deadline.due,
        evaluation=facts.evaluation,
        note=note,
    )
    return Said(record, unit=held.unit)


def erased(file: CaseFile, at: dt.datetime) -> Outcome:
    """Nobody works on it any more, and every unit that ever got the words is told to let them go."""
    if file.phase == "erased":
        return Outcome(file)
    record = CaseWithdrawn(number=file.number or "", reason="erased")
    after = replace(
        file,
        phase="erased",
        assignments=tuple(
            replace(one.end("released", at) if one.live else one, note=None) for one in file.assignments
        ),
    )
    return Outcome(after, tuple(Said(record, unit=one.unit) for one in file.assignments))


def _answered(file: CaseFile, request: str | None, refusal: InquiryRequestRefused | None) -> Outcome:
    proposal = file.proposal
    if proposal is None or proposal.id != request:
        return Outcome(file)
    rule = refusal.rule if refusal else None
    after = replace(file, proposal=None, reply_refused=rule)
    if not proposal.by_topic:
        return Outcome(after)  # whoever replied at the desk finds the rule on the file
    result = ActionResult(
        action=proposal.action,
        accepted=refusal is None,
        # In our words and for this unit: inquiry has its own states, and does not know what a unit may do.
        state=after.state,
        rule=rule,
        allowed=allowed(after, proposal.unit),
    )
    return Outcome(after, (Said(result, unit=proposal.unit),))
